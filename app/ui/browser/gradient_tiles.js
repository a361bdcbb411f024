// A column of pictures for each class, in as many lines as the width asks for.
function element(tag, attributes, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children)
  return node
}

function tile({ name, words, src, alt }) {
  const picture = src
    ? element("img", { src, alt })
    : element("div", { class: "empty", role: "img", "aria-label": `${alt}: does not apply` })
  const caption = element("figcaption", {})
  if (name) caption.append(element("span", {}, name))
  if (words) caption.append(element("b", {}, words))
  return element("figure", {}, picture, ...(name || words ? [caption] : []))
}

function legend({ low, high, unit, colours }) {
  const bar = element("i", { "aria-hidden": "true" })
  bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`
  return element("div", { class: "legend" }, element("span", {}, low), bar, element("span", {}, high), unit)
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root")
  root.setAttribute("role", "group")
  root.setAttribute("aria-label", data.label)
  const columns = data.columns.map(({ name, tiles }) =>
    element("section", {}, element("div", { class: "title" }, name), ...tiles.map(tile))
  )
  const parts = [element("div", { class: "grid" }, ...columns)]
  if (data.image) {
    const image = element("img", { src: data.image, alt: "The image" })
    parts.unshift(element("figure", { class: "input" }, element("div", { class: "title" }, "Image"), image))
  }
  root.replaceChildren(element("div", { class: "all" }, ...parts), ...(data.legend ? [legend(data.legend)] : []))
}
