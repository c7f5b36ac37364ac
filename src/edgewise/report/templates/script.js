(function () {
  "use strict";
  document.documentElement.classList.add("js");
  var tooltip = document.getElementById("tooltip");
  function hide() { tooltip.hidden = true; }
  document.querySelectorAll("svg title").forEach(function (title) {
    var owner = title.parentNode;
    owner.setAttribute("data-tip", title.textContent);
    title.remove();
  });
  function show(event) {
    var owner = event.target.closest ? event.target.closest("[data-tip]") : null;
    if (!owner) { hide(); return; }
    tooltip.textContent = owner.getAttribute("data-tip");
    tooltip.hidden = false;
    var box = owner.getBoundingClientRect();
    var left = Math.min(Math.max(8, box.left + box.width / 2 - tooltip.offsetWidth / 2), document.documentElement.clientWidth - tooltip.offsetWidth - 8);
    var above = box.top - tooltip.offsetHeight - 8;
    tooltip.style.left = left + "px";
    tooltip.style.top = (above > 4 ? above : box.bottom + 8) + "px";
  }
  document.addEventListener("pointerover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("keydown", function (event) { if (event.key === "Escape") { hide(); } });
  document.addEventListener("scroll", hide, { passive: true });
  document.querySelectorAll("table.filterable").forEach(function (table) {
    var rows = table.tBodies[0].rows;
    if (rows.length < 20) { return; }
    var field = document.createElement("input");
    field.type = "search";
    field.placeholder = "Filter " + rows.length + " " + (table.dataset.what || "layers");
    field.setAttribute("aria-label", field.placeholder);
    field.className = "filter";
    field.addEventListener("input", function () {
      var wanted = field.value.trim().toLowerCase();
      Array.prototype.forEach.call(rows, function (row) { row.hidden = row.textContent.toLowerCase().indexOf(wanted) < 0; });
    });
    table.parentNode.parentNode.insertBefore(field, table.parentNode);
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (fold) { fold.open = true; });
  });
})();
