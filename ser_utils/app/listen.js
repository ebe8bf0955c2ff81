// The microphone of the live tab. It hands its sound to the page in parts, one at a time: what comes in while a part
// is in work waits here and goes along with the next, so that no sound is lost and nothing piles up.
const button = element.querySelector("button");
const told = element.querySelector("[role=status]");
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process(inputs) {
    if (inputs[0].length) this.port.postMessage(inputs[0][0].slice());
    return true;
  }
});`;
const PATIENCE_MS = 30000; // after which a part counts as lost
const WHY = {
  NotAllowedError: "The browser does not let this page use the microphone; allow it, and try again.",
  NotFoundError: "The browser finds no microphone; plug one in, and try again.",
};
let current = null; // what one press of the button listens with
let sent = 0;
let sentAt = 0; // when the part in work was sent; 0 when there is none

function show(words) {
  button.textContent = current ? "Stop" : "Listen";
  button.classList.toggle("listens", Boolean(current));
  told.textContent = words;
}

function stop(words) {
  const ended = current;
  current = null;
  ended?.stream?.getTracks().forEach((track) => track.stop());
  ended?.context?.close();
  show(words);
}

async function listen() {
  const mine = (current = { parts: [], waiting: 0, seconds: 0, begins: true });
  show("asking for the microphone");
  try {
    if (!navigator.mediaDevices) throw new Error("no microphone for pages of another computer without https");
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const context = new AudioContext();
    Object.assign(mine, { stream, context });
    const address = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
    await context.audioWorklet.addModule(address);
    URL.revokeObjectURL(address);
    const tap = new AudioWorkletNode(context, "tap");
    tap.port.onmessage = (event) => take(mine, event.data);
    context.createMediaStreamSource(stream).connect(tap).connect(context.destination); // it plays silence
    await context.resume();
    if (current === mine) show("listening");
  } catch (error) {
    if (current === mine) stop(WHY[error.name] ?? `The microphone cannot be used: ${error.message}.`);
  }
  if (current !== mine) { // stopped while the browser was asking
    mine.stream?.getTracks().forEach((track) => track.stop());
    if (mine.context?.state !== "closed") mine.context?.close();
  }
}

function take(mine, samples) {
  if (current !== mine) return;
  mine.parts.push(samples);
  mine.waiting += samples.length / mine.context.sampleRate;
  mine.seconds += samples.length / mine.context.sampleRate;
  if (mine.seconds > props.limit_s) stop(`stopped after ${props.limit_s / 60} minutes`);
  else if (mine.waiting >= props.part_s && (!sentAt || Date.now() - sentAt > PATIENCE_MS)) send(mine);
}

function send(mine) {
  const pcm = new Int16Array(mine.parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of mine.parts) for (const y of part) pcm[at++] = Math.max(-1, Math.min(1, y)) * 32767;
  const bytes = new Uint8Array(pcm.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  sentAt = Date.now();
  trigger("part", { number: ++sent, pcm: btoa(text), rate: mine.context.sampleRate, begins: mine.begins });
  Object.assign(mine, { parts: [], waiting: 0, begins: false });
}

watch("value", () => { // the number of the part that was answered
  if (props.value === sent) sentAt = 0;
});
button.addEventListener("click", () => (current ? stop("stopped") : listen()));
