(function () {
  "use strict";
  function all(selector, root) { return Array.prototype.slice.call((root || document).querySelectorAll(selector)); }
  function byKey(nodes) {
    var found = new Map();
    nodes.forEach(function (node) { found.set(node.dataset.key, (found.get(node.dataset.key) || []).concat(node)); });
    return found;
  }
  var panels = all(".choice[data-key]"), marks = byKey(all(".front-chart .mark")), rows = byKey(all(".points tbody tr"));
  var typed = document.getElementById("target-text"), slider = document.getElementById("target-slider"), said = document.getElementById("target-said");
  var base = slider && slider.dataset.base !== "" ? Number(slider.dataset.base) : null;
  var front = panels.filter(function (panel) { return panel.dataset.front && panel.dataset.accuracy !== ""; });

  function number(text) { return text === "" || text === undefined ? null : Number(text); }
  function choose(key) {
    if (!panels.some(function (panel) { return panel.dataset.key === key; })) { return; }
    all(".choice.none").forEach(function (none) { none.hidden = true; });
    panels.forEach(function (panel) { panel.hidden = panel.dataset.key !== key; });
    [marks, rows].forEach(function (found) {
      found.forEach(function (nodes, own) {
        nodes.forEach(function (node) {
          node.classList.toggle("chosen", own === key);
          if (node.matches(".mark")) { node.setAttribute("aria-pressed", own === key ? "true" : "false"); }
        });
      });
    });
  }
  function say(words, bad) {
    if (!said) { return; }
    said.textContent = words;
    said.classList.toggle("bad", Boolean(bad));
  }

  // A target: {ratio: 0.7} or {seconds: 0.002}; null where the text is none.
  var SECONDS = { s: 1, ms: 1e-3, us: 1e-6, "µs": 1e-6, "μs": 1e-6 };
  function parse(text) {
    var found = /^\s*\+?(\d+(?:\.\d*)?|\.\d+)(e[+-]?\d+)?\s*(x|s|ms|us|µs|μs)\s*$/i.exec(text);
    var value = found ? Number(found[1] + (found[2] || "")) : 0;
    if (!found || !isFinite(value) || value <= 0) { return null; }
    var unit = found[3].toLowerCase();
    return unit === "x" ? { ratio: value } : { seconds: value * SECONDS[unit] };
  }
  function meets(panel, target) {
    var value = number(target.ratio !== undefined ? panel.dataset.ratio : panel.dataset.latency);
    return value !== null && value <= (target.ratio !== undefined ? target.ratio : target.seconds);
  }
  function best(target) {
    return front.filter(function (panel) { return meets(panel, target); }).sort(function (one, other) {
      return Number(other.dataset.accuracy) - Number(one.dataset.accuracy) || Number(one.dataset.ratio) - Number(other.dataset.ratio);
    })[0];
  }
  function drawTarget(target) {
    var seconds = target.ratio !== undefined ? (base === null ? null : target.ratio * base) : target.seconds;
    all(".front-chart .target").forEach(function (line) {
      var low = Number(line.dataset.low), high = Number(line.dataset.high), start = Number(line.dataset.start), end = Number(line.dataset.end);
      var place = seconds === null ? NaN : start + (seconds * 1e3 - low) / (high - low) * (end - start);
      var inside = place >= start && place <= end;
      line.classList.toggle("set", inside);
      if (inside) { line.setAttribute("transform", "translate(" + place.toFixed(1) + " 0)"); }
    });
  }
  function recommend(target, words) {
    drawTarget(target);
    var found = best(target);
    if (found) {
      choose(found.dataset.key);
      say(words + ": point " + found.dataset.number + " is the most accurate that is fast enough.");
      return;
    }
    var fastest = front.filter(function (panel) { return panel.dataset.ratio !== ""; }).sort(function (one, other) { return Number(one.dataset.ratio) - Number(other.dataset.ratio); })[0];
    if (fastest) { choose(fastest.dataset.key); }
    say(words + ": no point of the front is that fast." + (fastest ? " The fastest is point " + fastest.dataset.number + ", " + Number(fastest.dataset.ratio).toFixed(2) + "x." : ""), true);
  }
  function asTime(ratio) { return base === null ? "" : " (" + Number((ratio * base * 1e3).toPrecision(3)) + " ms)"; }
  if (slider) {
    slider.addEventListener("input", function () {
      var ratio = Number(slider.value) / 100;
      typed.value = ratio.toFixed(2) + "x";
      typed.removeAttribute("aria-invalid");
      slider.setAttribute("aria-valuetext", ratio.toFixed(2) + "x" + asTime(ratio));
      recommend({ ratio: ratio }, "For " + ratio.toFixed(2) + "x" + asTime(ratio));
    });
    typed.addEventListener("input", function () {
      var target = parse(typed.value);
      typed.setAttribute("aria-invalid", target || typed.value.trim() === "" ? "false" : "true");
      if (!target) {
        say(typed.value.trim() === "" ? "" : "A target needs a positive number and a unit: 0.7x, 2ms or 350us.", typed.value.trim() !== "");
        return;
      }
      var ratio = target.ratio !== undefined ? target.ratio : base === null ? null : target.seconds / base;
      if (ratio !== null) { slider.value = String(Math.round(ratio * 100)); }
      recommend(target, "For " + typed.value.trim() + (target.ratio !== undefined ? asTime(target.ratio) : ""));
    });
  }

  // Marks: click or Enter chooses; arrow keys walk through all of them by latency.
  function byHand(key) {
    choose(key);
    all(".front-chart .target").forEach(function (line) { line.classList.remove("set"); });
    var panel = panels.filter(function (one) { return one.dataset.key === key; })[0];
    say(panel ? "Point " + panel.dataset.number + ", chosen by hand." : "This point has no panel of its own: the table has its figures.", !panel);
  }
  function place(mark) { return Number(/translate\(([\d.+-]+)/.exec(mark.getAttribute("transform"))[1]); }
  all(".front-chart").forEach(function (chart) {
    function walk(from, step) {
      var line = all(".mark", chart).filter(function (mark) { return !mark.classList.contains("away"); }).sort(function (one, other) { return place(one) - place(other); });
      var next = line[line.indexOf(from) + step];
      if (next) { next.focus(); }
    }
    chart.addEventListener("click", function (event) {
      var mark = event.target.closest(".mark");
      if (mark) { byHand(mark.dataset.key); }
    });
    chart.addEventListener("keydown", function (event) {
      var mark = event.target.closest(".mark");
      if (!mark) { return; }
      var step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (step) { walk(mark, step); event.preventDefault(); }
      if (event.key === "Enter" || event.key === " ") { byHand(mark.dataset.key); event.preventDefault(); }
    });
  });
  rows.forEach(function (nodes, key) {
    nodes.forEach(function (row) {
      ["pointerenter", "pointerleave", "focusin", "focusout"].forEach(function (kind) {
        row.addEventListener(kind, function () {
          (marks.get(key) || []).forEach(function (mark) { mark.classList.toggle("lit", kind === "pointerenter" || kind === "focusin"); });
        });
      });
      var head = row.cells[0], button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.setAttribute("aria-label", "Choose point " + head.textContent);
      button.addEventListener("click", function () {
        byHand(key);
        document.getElementById("decision").scrollIntoView();
      });
      head.textContent = "";
      head.appendChild(button);
    });
  });

  // Methods can be taken out of the chart.
  all(".methods [data-method]").forEach(function (span) {
    var button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    while (span.firstChild) { button.appendChild(span.firstChild); }
    span.appendChild(button);
    button.addEventListener("click", function () {
      var shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", shown ? "true" : "false");
      all(".front-chart .mark." + span.dataset.method).forEach(function (mark) { mark.classList.toggle("away", !shown); });
    });
  });

  // Tables sort by their headings; what is unknown stays last either way.
  all("table.sortable").forEach(function (table) {
    var heads = all("thead th", table), body = table.tBodies[0];
    function value(row, column) {
      var cell = row.cells[column];
      return cell.dataset.sort === undefined ? cell.textContent.trim().toLowerCase() : number(cell.dataset.sort);
    }
    heads.forEach(function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        all("tr", body).map(function (row) { return { row: row, value: value(row, column) }; }).sort(function (one, other) {
          if (one.value === null || other.value === null) { return (one.value === null) - (other.value === null); }
          return (one.value < other.value ? -1 : one.value > other.value ? 1 : 0) * (down ? -1 : 1);
        }).forEach(function (entry) { body.appendChild(entry.row); });
      });
    });
  });

  all(".command").forEach(function (command) {
    var code = command.querySelector("code"), button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy what to type to " + command.querySelector(".purpose").textContent);
    function tell(done) {
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      window.setTimeout(function () { button.textContent = "Copy"; }, 2000);
    }
    function bySelection() {
      var range = document.createRange();
      range.selectNodeContents(code);
      window.getSelection().removeAllRanges();
      window.getSelection().addRange(range);
      tell(document.execCommand("copy"));
    }
    button.addEventListener("click", function () {
      if (navigator.clipboard && navigator.clipboard.writeText) {
        navigator.clipboard.writeText(code.textContent).then(function () { tell(true); }, bySelection);
      } else { bySelection(); }
    });
    command.appendChild(button);
  });

  var shown = panels.filter(function (panel) { return !panel.hidden; })[0];
  if (shown) {
    choose(shown.dataset.key);
    if (slider && shown.dataset.ratio !== "") { typed.value = (Number(slider.value) / 100).toFixed(2) + "x"; }
  }
})();
