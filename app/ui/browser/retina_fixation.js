// An image with a fixation to move; the server is told once the eye rests.
const LARGEST_PICTURE = 320
const REST = 140 // milliseconds without a move
const PATIENCE = 2000 // milliseconds in which an older answer of the server is not followed
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
const pickers = new WeakMap()

class Picker {
  constructor(root) {
    this.canvas = document.createElement("canvas")
    this.canvas.tabIndex = 0
    this.canvas.setAttribute("role", "application")
    this.output = document.createElement("output")
    const hint = document.createElement("div")
    hint.className = "hint"
    hint.innerHTML = "Click, drag, or <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd>; " +
      "with <kbd>Shift</kbd> four pixels, <kbd>Home</kbd> to the middle."
    root.replaceChildren(this.canvas, this.output, hint)
    this.image = new Image()
    this.image.onload = () => this.draw()
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId)
      this.point(event)
    })
    this.canvas.addEventListener("pointermove", (event) => event.buttons && this.point(event))
    this.canvas.addEventListener("keydown", (event) => this.onKey(event))
    this.observer = new ResizeObserver(() => this.draw())
    this.observer.observe(root)
    this.root = root
    this.timer = null
  }

  update(data, tell) {
    this.data = data
    this.tell = tell
    const waiting = this.sent && Date.now() - this.sent.time < PATIENCE
    const answered = waiting && data.column === this.sent.column && data.row === this.sent.row
    if (answered) this.sent = null
    if (this.column === undefined || (!this.timer && (!waiting || answered))) {
      this.column = data.column
      this.row = data.row
    }
    if (this.image.src !== data.src) this.image.src = data.src
    this.draw()
  }

  move(column, row) {
    const { width, height } = this.data
    const next = [Math.min(Math.max(column, 0), width - 1), Math.min(Math.max(row, 0), height - 1)]
    if (next[0] === this.column && next[1] === this.row) return
    ;[this.column, this.row] = next
    this.draw()
    clearTimeout(this.timer)
    this.timer = setTimeout(() => {
      this.timer = null
      this.sent = { column: this.column, row: this.row, time: Date.now() }
      this.tell([this.column, this.row])
    }, REST)
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect()
    const along = (at, start, size, pixels) => Math.floor(((at - start) / size) * pixels)
    this.move(
      along(event.clientX, box.left + 1, box.width - 2, this.data.width),
      along(event.clientY, box.top + 1, box.height - 2, this.data.height),
    )
  }

  onKey(event) {
    const stride = event.shiftKey ? 4 : 1
    if (event.key in STEPS) {
      const [right, down] = STEPS[event.key]
      this.move(this.column + stride * right, this.row + stride * down)
    } else if (event.key === "Home") {
      this.move(Math.floor(this.data.width / 2), Math.floor(this.data.height / 2))
    } else return
    event.preventDefault()
    event.stopPropagation()
  }

  draw() {
    if (!this.data) return
    const { width, height, radius, label } = this.data
    const room = Math.min(this.root.clientWidth - 2 || LARGEST_PICTURE, LARGEST_PICTURE)
    const scale = Math.max(1, Math.floor(room / width))
    if (this.canvas.width !== width * scale) this.canvas.width = width * scale
    if (this.canvas.height !== height * scale) this.canvas.height = height * scale
    const pen = this.canvas.getContext("2d")
    pen.imageSmoothingEnabled = false
    if (this.image.complete && this.image.naturalWidth) {
      pen.drawImage(this.image, 0, 0, width * scale, height * scale)
    }
    const x = (this.column + 0.5) * scale, y = (this.row + 0.5) * scale
    for (const [style, line] of [["rgba(0, 0, 0, 0.75)", 4], ["#F0E442", 2]]) {
      pen.strokeStyle = style
      pen.lineWidth = line
      pen.setLineDash(line === 2 ? [6, 4] : [])
      pen.beginPath()
      if (radius > 0) pen.arc(x, y, radius * scale, 0, 2 * Math.PI)
      pen.stroke()
      pen.setLineDash([])
      pen.beginPath()
      pen.moveTo(x - 9, y)
      pen.lineTo(x + 9, y)
      pen.moveTo(x, y - 9)
      pen.lineTo(x, y + 9)
      pen.stroke()
    }
    const words = `Fixation at column ${this.column}, row ${this.row}`
    this.output.textContent = words
    this.canvas.setAttribute("aria-label", `${label}. ${words}. Arrow keys move it.`)
  }

  destroy() {
    clearTimeout(this.timer)
    this.observer.disconnect()
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root")
  if (!pickers.has(root)) pickers.set(root, new Picker(root))
  pickers.get(root).update(data, (value) => setTriggerValue("moved", value))
  return () => {
    pickers.get(root)?.destroy()
    pickers.delete(root)
  }
}
