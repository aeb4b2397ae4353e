// Buttons of a saved figure: SVG and PNG at the width of a column, and PDF by the browser's own printing.
const { width, height } = saved.figure.layout;
const bar = document.createElement("p");
bar.style = "font: 15px Arial, sans-serif; margin: 8px 12px";
bar.textContent = "Save for a paper: ";
const picture = (format, scale) => Plotly.toImage(saved.figure, { format, width, height, scale });
const actions = {
  SVG: async () => keep(await picture("svg", 1), "svg"),
  PNG: async () => keep(await picture("png", saved.scale), "png"),
  "PDF (print)": async () => {
    const frame = document.createElement("iframe");
    frame.style = "position: fixed; width: 0; height: 0; border: 0";
    frame.srcdoc = `<title>${saved.name}</title><style>@page {size: ${width}px ${height}px; margin: 0}
      body {margin: 0} img {display: block; width: 100%}</style><img src="${await picture("svg", 1)}">`;
    frame.onload = () => frame.contentWindow.print();
    document.body.append(frame);
  },
};
function keep(address, ending) {
  const link = document.createElement("a");
  Object.assign(link, { href: address, download: `${saved.name}.${ending}` });
  link.click();
}
for (const [name, action] of Object.entries(actions)) {
  const button = document.createElement("button");
  Object.assign(button, { textContent: name, onclick: action });
  button.style = "font: inherit; margin-right: 6px";
  bar.append(button);
}
document.body.prepend(bar);
