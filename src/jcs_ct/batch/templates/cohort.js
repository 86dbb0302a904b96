for (const head of document.querySelectorAll("table.sortable th button")) {
  head.addEventListener("click", () => {
    const cell = head.parentElement, table = cell.closest("table"), body = table.tBodies[0];
    const column = cell.cellIndex, down = cell.getAttribute("aria-sort") !== "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    const number = cell.dataset.kind === "number";
    const value = (row) => row.cells[column].dataset.value;
    const rows = [...body.rows].sort((a, b) => {
      const one = value(a), other = value(b);
      if (one === "" || other === "") return (one === "") - (other === "");
      const order = number ? Number(one) - Number(other) : one.localeCompare(other, "en");
      return down ? -order : order;
    });
    body.append(...rows);
  });
}
