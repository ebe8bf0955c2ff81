// Tables sort by a column at a click on its header; without this script they stay as they were written.
for (const table of document.querySelectorAll(".table > table")) {
  const rows = [...table.tBodies[0].rows];
  const heads = [...table.tHead.rows[0].cells];
  if (rows.length < 3 || rows.some((row) => row.cells.length !== heads.length)) continue;
  const words = new Intl.Collator("en", { numeric: true });
  const text = (row, at) => row.cells[at].innerText.trim();
  const number = (told) => parseFloat(told.replace("−", "-").replace(/,(?=\d{3})/g, ""));
  heads.forEach((head, at) => {
    if (head.tagName !== "TH" || head.classList.contains("bar")) return;
    const known = rows.filter((row) => text(row, at) && text(row, at) !== "–");
    const counted = known.length > 0 && known.every((row) => /^[+\-−]?[\d.]/.test(text(row, at)));
    const compare = counted
      ? (a, b) => number(text(a, at)) - number(text(b, at))
      : (a, b) => words.compare(text(a, at), text(b, at));
    const orders = counted ? ["descending", "ascending", ""] : ["ascending", "descending", ""];
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = orders[(orders.indexOf(head.getAttribute("aria-sort") ?? "") + 1) % 3];
      for (const other of heads) other.removeAttribute("aria-sort");
      if (order) head.setAttribute("aria-sort", order);
      const sorted = [...known].sort((a, b) => (order === "descending" ? compare(b, a) : compare(a, b)));
      table.tBodies[0].append(...(order ? [...sorted, ...rows.filter((row) => !known.includes(row))] : rows));
    });
  });
}
