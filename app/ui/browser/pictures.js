// A row of pictures, each enlarged by a whole number.
function element(tag, attributes, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children)
  return node
}

// A page for a projector makes pictures larger than they are asked for, in at most two rows.
const IN_A_ROW = 3 // at most, where one row is enough
const SMALLEST = 64 // pixels of a picture, where several are to stand in a line
const observers = new WeakMap()

function size(root, data) {
  const style = getComputedStyle(root)
  const grow = Number(style.getPropertyValue("--picture-growth")) || 1
  const number = data.items.length
  const room = (columns) => (root.clientWidth - (columns - 1) * parseFloat(style.columnGap)) / columns - 2
  let columns = data.columns
  if (grow > 1) columns = number > IN_A_ROW ? Math.ceil(number / 2) : number
  else while (columns > 1 && room(columns) < SMALLEST) columns--
  const largest = columns > 1 || grow > 1 ? Math.min(grow * data.largest, room(columns)) : data.largest
  root.querySelectorAll("figure").forEach((figure, i) => {
    const { width, height } = data.items[i]
    const factor = largest / width
    const scale = factor >= 1 ? Math.floor(factor) : factor // large ones are made to fit
    const image = figure.querySelector("img")
    image.width = Math.round(width * scale)
    image.height = Math.round(height * scale)
    image.style.imageRendering = scale < 1 ? "auto" : ""
    figure.style.width = `${image.width + 2}px`
  })
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root")
  root.setAttribute("role", "group")
  root.setAttribute("aria-label", data.label)
  const figures = data.items.map((item) => {
    const image = element("img", { src: item.src, alt: item.alt })
    const title = element("div", { class: "title" })
    if (item.role) title.append(element("span", { class: `mark ${item.role}`, "aria-hidden": "true" }))
    title.append(item.title)
    const caption = element("figcaption", {}, item.words)
    if (item.note) caption.append(element("span", {}, item.note))
    return element("figure", {}, title, image, caption)
  })
  root.replaceChildren(...figures)
  observers.get(root)?.disconnect()
  const observer = new ResizeObserver(() => size(root, data))
  observer.observe(root)
  observers.set(root, observer)
  size(root, data)
  return () => observer.disconnect()
}
