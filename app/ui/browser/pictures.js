// A row of pictures, each enlarged by a whole number.
function element(tag, attributes, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children)
  return node
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root")
  root.setAttribute("role", "group")
  root.setAttribute("aria-label", data.label)
  const figures = data.items.map((item) => {
    const factor = data.largest / item.width
    const scale = factor >= 1 ? Math.floor(factor) : factor // large ones are made to fit
    const width = Math.round(item.width * scale)
    const image = element("img", { src: item.src, alt: item.alt, width, height: Math.round(item.height * scale) })
    if (scale < 1) image.style.imageRendering = "auto"
    const title = element("div", { class: "title" })
    if (item.role) title.append(element("span", { class: `mark ${item.role}`, "aria-hidden": "true" }))
    title.append(item.title)
    const caption = element("figcaption", {}, item.words)
    if (item.note) caption.append(element("span", {}, item.note))
    const figure = element("figure", {}, title, image, caption)
    figure.style.width = `${width + 2}px`
    return figure
  })
  root.replaceChildren(...figures)
}
