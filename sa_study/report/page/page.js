"use strict";
(() => {
  const root = document.documentElement;
  const nonce = document.currentScript.nonce;
  const palette = JSON.parse(document.getElementById("palette").textContent);
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;

  // ---- dark and light -------------------------------------------------------------------------------
  const toggle = document.getElementById("theme");
  try { const kept = localStorage.getItem("sa-study-theme"); if (kept === "dark" || kept === "light") root.dataset.theme = kept; } catch { /* no storage for local files */ }
  const isDark = () => !printing && (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  function showTheme() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
    toggle.textContent = dark ? "Light" : "Dark";
    toggle.setAttribute("aria-pressed", String(dark));
    redraw();
  }
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("sa-study-theme", root.dataset.theme); } catch { /* as above */ }
    showTheme();
  });
  systemDark.addEventListener("change", showTheme);

  // ---- figures: plotly is unpacked before the first one ----------------------------------
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = new Set();
  let plotly = null;

  function unpack() {
    plotly ??= (async () => {
      const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent.trim()), (c) => c.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      const script = document.createElement("script");
      script.nonce = nonce;
      script.textContent = await new Response(stream).text();
      document.head.append(script);
      return window.Plotly;
    })();
    return plotly;
  }

  function figure(plot) {
    let text = document.getElementById(plot.id.replace("plot-", "data-")).textContent;
    if (isDark()) for (const [light, dark] of palette) text = text.replaceAll(light, dark);
    const { data, layout } = JSON.parse(text);
    const css = getComputedStyle(document.body);
    const value = (name) => (printing ? { "--ink": "#1a1f26", "--muted": "#59626e", "--line": "#dde1e6", "--paper": "#ffffff" }[name] : null) ?? css.getPropertyValue(name).trim();
    const [ink, muted, line, paper] = ["--ink", "--muted", "--line", "--paper"].map(value);
    const narrow = plot.clientWidth < 520;
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true, tickfont: { color: muted, size: narrow ? 11 : 12 } };
    const titled = (given) => ({ ...given, title: { ...given.title, font: { size: 13, color: muted }, standoff: 8 } });
    layout.xaxis ??= {}; layout.yaxis ??= {};
    for (const name of Object.keys(layout)) if (/^[xy]axis\d*$/.test(name)) layout[name] = titled({ ...axis, ...layout[name] });
    for (const note of layout.annotations ?? []) {
      note.font = { size: 11, ...note.font, color: muted };
      if (plot.id === "plot-parallel") Object.assign(note, { bgcolor: paper, opacity: 0.9, borderpad: 1 });
    }
    for (const trace of data) if (trace.colorbar) Object.assign(trace.colorbar, { tickfont: { color: muted, size: 12 }, title: { ...trace.colorbar.title, font: { color: muted, size: 13 } } });
    Object.assign(layout, {
      autosize: true, height: layout.height ?? 420, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: css.fontFamily, size: 13, color: ink },
      margin: { l: narrow ? 44 : 60, r: narrow ? 8 : 20, t: plot.id === "plot-parallel" ? 40 : 56, b: 50 },
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 12 }, ...layout.legend },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: ink },
      hoverlabel: { bgcolor: paper, bordercolor: muted, font: { color: ink, size: 12 }, align: "left" },
      hovermode: layout.hovermode ?? "closest",
    });
    if (printing) { layout.width = 690; layout.autosize = false; }
    return { data, layout };
  }

  const config = {
    displaylogo: false, responsive: true, doubleClick: "reset",
    // By default plotly offers a button that uploads the figure.
    showSendToCloud: false, plotlyServerURL: "", topojsonURL: "",
    modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  };

  async function draw(plot) {
    if (drawn.has(plot)) return;
    drawn.add(plot);
    try {
      const library = await unpack();
      const { data, layout } = figure(plot);
      await library.newPlot(plot, data, layout, config);
      if (plot.id === "plot-parallel") pickable(plot, library);
      plot.dataset.drawn = "yes";
    } catch (error) {
      plot.textContent = "This browser cannot draw the figure; one from 2023 or later can. The table above has the figures.";
      plot.className = "missing";
      if (typeof DecompressionStream !== "undefined") throw error;
    }
  }

  function redraw() {
    if (!window.Plotly) return;
    for (const plot of drawn) {
      if (plot.dataset.drawn !== "yes") continue;
      const { data, layout } = figure(plot);
      window.Plotly.react(plot, data, layout, config);
      plot.dataset.picked = "";
    }
  }

  // A box over part of an axis keeps the trials that pass through it, and fades the others.
  function pickable(plot, library) {
    const opacities = plot.data.map((trace) => trace.opacity);
    plot.on("plotly_selected", (event) => {
      const chosen = new Set((event?.points ?? []).map((point) => point.customdata));
      if (!chosen.size) return;
      const { data, layout } = figure(plot);
      const kept = data.map((trace) => {
        const keep = trace.customdata.map((number, i) => chosen.has(number ?? trace.customdata[i - 1]));
        const only = (list) => list.map((v, i) => (keep[i] ? v : null));
        return { ...trace, x: only(trace.x), y: only(trace.y), opacity: 1, line: { ...trace.line, width: 2.5 } };
      });
      const faded = data.map((trace) => ({ ...trace, opacity: 0.08, hoverinfo: "skip", hovertemplate: null }));
      library.react(plot, [...faded, ...kept], { ...layout, dragmode: "select" }, config);
      plot.dataset.picked = [...chosen].join(" ");
    });
    const all = () => {
      const { data, layout } = figure(plot);
      library.react(plot, data.map((trace, i) => ({ ...trace, opacity: opacities[i] })), layout, config);
      plot.dataset.picked = "";
    };
    plot.on("plotly_doubleclick", all);
    plot.on("plotly_deselect", all);
  }

  // All are drawn without being scrolled to, the ones in view first, so that no print, saved or headless copy
  // lacks one. A document left open in a hidden frame holds the load event back until then: what copies a page
  // waits for that event.
  const hold = Object.assign(document.createElement("iframe"), { hidden: true });
  document.body.append(hold);
  hold.contentDocument?.open();
  const inView = (plot) => { const { top, bottom } = plot.getBoundingClientRect(); return bottom > 0 && top < innerHeight; };
  const waiting = () => plots.filter((plot) => !drawn.has(plot));
  const idle = (run) => (window.requestIdleCallback ? requestIdleCallback(run, { timeout: 200 }) : setTimeout(run, 0));
  async function drawNext() {
    const left = waiting();
    if (left.length) { await draw(left.find(inView) ?? left[0]).catch(console.error); idle(drawNext); }
    else { hold.contentDocument?.close(); hold.remove(); }
  }
  idle(drawNext);
  addEventListener("beforeprint", () => { printing = true; redraw(); if (window.Plotly) waiting().forEach(draw); });
  addEventListener("afterprint", () => { printing = false; redraw(); });

  // ---- the table of trials ----------------------------------------------------------------------------
  const table = document.getElementById("trials");
  if (table) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const key = (row, column) => {
      const cell = row.cells[column];
      if (cell.dataset.v !== undefined) return cell.dataset.v === "" || Number.isNaN(Number(cell.dataset.v)) ? null : Number(cell.dataset.v);
      const text = cell.innerText.trim();
      return text === "–" ? null : text;
    };
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
    const sort = (column, descending) => {
      const rows = [...body.rows].map((row, index) => [key(row, column), index, row]);
      // Rows without a value stay last in both directions.
      rows.sort((a, b) => (a[0] === null) - (b[0] === null) || (a[0] === null ? 0 : compare(a[0], b[0]) * (descending ? -1 : 1)) || a[1] - b[1]);
      body.append(...rows.map((row) => row[2]));
      heads.forEach((head, i) => (i === column ? head.setAttribute("aria-sort", descending ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    };
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const numbers = [...body.rows].some((row) => typeof key(row, column) === "number");
      sort(column, now ? now === "ascending" : numbers && column > 0);
    }));
    for (const box of document.querySelectorAll(".filters input")) box.addEventListener("change", () => {
      for (const row of body.rows) if (row.dataset.state === box.dataset.state) row.hidden = !box.checked;
    });
  }

  // ---- pictures and commands --------------------------------------------------------------------------
  const dialog = document.getElementById("enlarged");
  for (const button of document.querySelectorAll(".zoom")) button.addEventListener("click", () => {
    const image = button.querySelector("img");
    Object.assign(dialog.querySelector("img"), { src: image.src, alt: image.alt });
    dialog.showModal();
  });
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", async () => {
    const code = button.previousElementSibling;
    try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });

  showTheme();
})();
