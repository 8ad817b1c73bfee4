"use strict";
(() => {
  const make = (tag, attributes = {}, text = "") => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.textContent = text;
    return made;
  };

  // -- tables: sorted by exact values, filtered by name, further columns shown when asked for

  const valueOf = (cell) => {
    const text = cell.textContent.trim();
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    if (text === "" || text === "–" || text === "…") return null;
    return /^[-−+]?[\d,]+(\.\d+)?$/.test(text) ? Number(text.replaceAll(",", "").replace("−", "-")) : text;
  };

  const order = (one, other) => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    if (typeof one === "number" || typeof other === "number") return typeof one === "number" ? 1 : -1;
    return one.localeCompare(other, "en", { numeric: true });
  };

  const sorted = (rows, at, sign) => {
    const valued = rows.map((row) => [valueOf(row.cells[at]), row]);
    const known = valued.filter(([value]) => value !== null);
    known.sort(([one], [other]) => sign * order(one, other));
    return [...known, ...valued.filter(([value]) => value === null)].map(([, row]) => row);
  };

  const makeSortable = (table) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].filter((row) => !row.classList.contains("sum"));
    const sums = [...body.rows].filter((row) => row.classList.contains("sum"));
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, at) => {
      if (!head.textContent.trim()) return;
      const button = make("button", { type: "button" }, head.textContent);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const was = head.getAttribute("aria-sort");
        const first = head.classList.contains("n") ? "descending" : "ascending";
        const second = first === "ascending" ? "descending" : "ascending";
        const now = was === null ? first : was === first ? second : null;
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        if (now !== null) head.setAttribute("aria-sort", now);
        const sign = now === "ascending" ? 1 : -1;
        body.append(...(now === null ? rows : sorted(rows, at, sign)), ...sums);
      });
    });
  };

  const filterOf = (table) => {
    const rows = [...table.tBodies[0].rows];
    const label = make("label", {}, `Filter by ${table.tHead.rows[0].cells[0].textContent || "name"} `);
    const input = make("input", { type: "search", autocomplete: "off", spellcheck: "false" });
    const told = make("span", { role: "status" });
    label.append(input);
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
        shown += row.hidden ? 0 : 1;
      }
      told.textContent = wanted ? `${shown} of ${rows.length} rows` : "";
    });
    return [label, told];
  };

  const further = [...document.querySelectorAll("thead .further")].flatMap((head) => {
    const rows = [...head.closest("table").rows];
    return rows.map((row) => row.cells[head.cellIndex]);
  });
  const showFurther = (isShown) => further.forEach((cell) => { cell.hidden = !isShown; });
  if (further.length) {
    const label = make("label", {}, " Show every column");
    const box = make("input", { type: "checkbox" });
    label.prepend(box);
    box.addEventListener("change", () => showFurther(box.checked));
    showFurther(false);
    const bar = make("p", { class: "tools" });
    bar.append(label);
    document.querySelector("header").append(bar);
  }

  for (const table of document.querySelectorAll("table")) {
    if (table.classList.contains("sortable")) makeSortable(table);
    const isNamed = !table.tHead.rows[0].cells[0].classList.contains("n");
    if (!isNamed || table.tBodies[0].rows.length <= 8) continue;
    const bar = make("div", { class: "tools" });
    bar.append(...filterOf(table));
    table.closest(".scroll").before(bar);
  }

  // -- what is wider than there is room for says so

  const wide = [...document.querySelectorAll(".scroll,.picture")].map((one) => {
    const hint = make("p", { class: "hint", hidden: "" }, "Scroll sideways for more →");
    one.before(hint);
    return [one, hint];
  });
  const tell = () => {
    for (const [one, hint] of wide) {
      const isCut = one.scrollWidth > one.clientWidth + 1;
      hint.hidden = !isCut;
      one.classList.toggle("cut", isCut);
    }
  };
  tell();
  const watched = new ResizeObserver(tell);
  for (const [one] of wide) watched.observe(one);

  // -- the rows as CSV, from what stands in the page

  const data = JSON.parse(document.getElementById("rows").textContent);
  const quoted = (value) => {
    if (value === null || value === undefined) return "";
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const columnOf = (name) => { // what it shares stands in another column
    const { like, ...column } = data.columns[name];
    if (like !== undefined) return columnOf(like);
    return typeof column.at === "string" ? { ...column, at: data.columns[column.at].at } : column;
  };
  const cellOf = ({ value, values, at }, row) => (values ? values[at ? at[row] : row] : value);
  const csv = () => {
    const columns = Object.keys(data.columns).map(columnOf);
    const rows = Array.from({ length: data.rows }, (_, row) =>
      columns.map((column) => quoted(cellOf(column, row))).join(","));
    return [Object.keys(data.columns).map(quoted).join(","), ...rows, ""].join("\n");
  };
  if (data.rows) {
    const bar = make("p", { class: "tools" });
    const button = make("button", { type: "button" }, `Save ${data.rows.toLocaleString("en")} rows as CSV`);
    button.addEventListener("click", () => {
      const link = make("a", { download: "dscost.csv" });
      link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
      link.click();
      URL.revokeObjectURL(link.href);
    });
    bar.append(button);
    document.querySelector("footer").prepend(bar);
  }

  // -- commands to copy

  if (navigator.clipboard) {
    for (const typed of document.querySelectorAll("pre.typed")) {
      const button = make("button", { type: "button", class: "copy" }, "Copy");
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(typed.querySelector("code").textContent);
        button.textContent = "Copied";
      });
      typed.append(button);
    }
  }

  // -- what stands behind a mark of a picture, beside the pointer at once

  const tip = make("div", { id: "tip", hidden: "" });
  document.body.append(tip);
  for (const mark of document.querySelectorAll("svg .m")) {
    const title = mark.querySelector("title");
    const told = title.textContent;
    title.remove();
    mark.addEventListener("pointerenter", () => {
      tip.textContent = told;
      tip.hidden = false;
    });
    mark.addEventListener("pointermove", (event) => {
      const { width, height } = tip.getBoundingClientRect();
      tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - width - 8))}px`;
      tip.style.top = `${event.clientY + 16 + height > innerHeight ? event.clientY - height - 8 : event.clientY + 16}px`;
    });
    mark.addEventListener("pointerleave", () => { tip.hidden = true; });
  }

  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details")) one.open = true;
  });
})();
