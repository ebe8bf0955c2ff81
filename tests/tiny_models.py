"""Tiny models with random weights, saved to a folder in the hub's own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WAVES = {"conv_dim": [8, 8], "conv_kernel": [10, 32], "conv_stride": [10, 32], "num_conv_pos_embeddings": 16}
WAVES |= {"num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2}
WHISPER = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "num_mel_bins": 80}
WHISPER |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32, "vocab_size": 100}
WHISPER |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}


def make(family: str, folder: Path) -> Any:
    """Save a tiny model as the hub has them; returns it."""
    import torch
    import transformers

    torch.manual_seed(0)
    names = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM", "whisper": "Whisper"}
    options = WHISPER if family == "whisper" else SIZES | WAVES
    config = getattr(transformers, f"{names[family]}Config")(**options)
    net = getattr(transformers, f"{names[family]}Model")(config).eval()
    kinds = {"whisper": transformers.WhisperFeatureExtractor}
    kinds.get(family, transformers.Wav2Vec2FeatureExtractor)().save_pretrained(folder)
    net.save_pretrained(folder)
    return net
