// Plays a recorded attack: every frame is here, so scrubbing never asks the server.
const ICONS = {
  first: "M5 4h2v12H5zM17 4v12L8 10z",
  back: "M15 4v12L6 10z",
  play: "M6 4v12l10-6z",
  pause: "M5 4h4v12H5zM11 4h4v12h-4z",
  next: "M5 4v12l9-6z",
  last: "M3 4v12l9-6zM13 4h2v12h-2z",
}
const PLAY_SECONDS = 3
const LARGEST_PICTURE = 300
const GAP = 16
const players = new WeakMap()

const percent = (p) => `${p > 0.995 && p < 1 ? ">99" : p < 0.005 && p > 0 ? "<1" : Math.round(100 * p)} %`

function element(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line"].includes(tag)
  const node = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children)
  return node
}

function icon(name) {
  return element("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, element("path", { d: ICONS[name] }))
}

class Player {
  constructor(root) {
    this.root = root
    this.step = 0
    this.timer = null
    this.build()
    this.observer = new ResizeObserver(() => this.resize())
    this.observer.observe(root)
  }

  build() {
    const picture = (role, title) => {
      const img = element("img", { alt: "" })
      const frame = element("div", { class: "frame" }, img)
      const caption = element("figcaption")
      const figure = element(
        "figure", {},
        element("div", { class: "title" }, element("span", { class: `mark ${role}`, "aria-hidden": "true" }), title),
        frame, caption,
      )
      return { img, frame, caption, figure }
    }
    this.clean = picture("clean", "Clean")
    this.delta = picture("delta", "Perturbation")
    this.adversarial = picture("adversarial", "Adversarial")
    this.gain = element("span", { class: "gain" })
    this.delta.frame.append(this.gain)
    const button = (name, label, action) => {
      const node = element("button", { type: "button", "aria-label": label, title: label }, icon(name))
      node.addEventListener("click", action)
      return node
    }
    this.buttons = {
      first: button("first", "First step", () => this.jump(0)),
      back: button("back", "Step back", () => this.jump(this.step - 1)),
      play: button("play", "Play", () => this.toggle()),
      next: button("next", "Step forward", () => this.jump(this.step + 1)),
      last: button("last", "Last step", () => this.jump(this.end)),
    }
    this.range = element("input", { type: "range", min: 0, step: 1, "aria-label": "Step of the attack" })
    this.range.addEventListener("input", () => this.jump(Number(this.range.value)))
    this.output = element("output")
    this.charts = element("div", { class: "charts" })
    const hint = element("div", { class: "hint" })
    hint.append(
      "Keys: ", element("kbd", {}, "←"), " ", element("kbd", {}, "→"), " step, ",
      element("kbd", {}, "Space"), " play or pause, ", element("kbd", {}, "Home"), " ",
      element("kbd", {}, "End"), " first and last step.",
    )
    this.root.replaceChildren(
      element(
        "div", { class: "triptych" }, this.clean.figure, this.delta.figure, this.adversarial.figure,
      ),
      element("div", { class: "controls" }, ...Object.values(this.buttons), this.range, this.output),
      this.charts,
      hint,
    )
    this.root.setAttribute("role", "group")
    this.root.setAttribute("aria-label", "Player of the recorded attack")
    this.root.addEventListener("keydown", (event) => this.onKey(event))
  }

  update(data) {
    const fresh = !this.data || this.data.id !== data.id
    this.data = data
    this.end = data.frames.length - 1
    if (fresh) {
      this.pause()
      this.step = this.end
      this.buildCharts()
    }
    this.clean.img.src = data.clean.src
    this.clean.img.alt = data.clean.alt
    this.clean.caption.replaceChildren(...this.reading(data.clean.prediction, data.clean.confidence))
    this.gain.textContent = `× ${data.gain}`
    this.range.max = this.end
    this.resize()
    this.show()
  }

  resize() {
    if (!this.data) return
    const room = this.root.clientWidth
    const { width, height } = this.data
    const fit = (columns) => Math.floor(Math.min((room - (columns - 1) * GAP) / columns - 2, LARGEST_PICTURE) / width)
    const scale = Math.max(1, fit(3) * width >= 96 ? fit(3) : fit(1) * width > 200 ? Math.floor(200 / width) : fit(1))
    for (const { img, figure } of [this.clean, this.delta, this.adversarial]) {
      img.width = width * scale
      img.height = height * scale
      figure.style.width = `${width * scale + 2}px`
    }
  }

  reading(name, confidence) {
    return [element("strong", {}, name), element("span", {}, ` with ${percent(confidence)}`)]
  }

  show() {
    const { data, step } = this
    const frame = data.frames[step]
    this.delta.img.src = frame.delta
    this.delta.img.alt = `perturbation at step ${frame.index}, amplified ${data.gain} times; mid-grey is no change`
    this.delta.caption.replaceChildren(
      element("strong", {}, frame.distance_words),
      element("span", {}, ` of ${data.epsilon_words}`),
    )
    this.adversarial.img.src = frame.adversarial
    this.adversarial.img.alt = `${data.label} predicted as ${frame.prediction}, ${percent(frame.confidence)}`
    this.adversarial.caption.replaceChildren(...this.reading(frame.prediction, frame.confidence))
    const words = `step ${frame.index} of ${data.num_steps}` +
      (data.num_restarts > 1 ? `, start ${frame.restart + 1}` : "")
    this.output.textContent = words
    this.range.value = step
    this.range.setAttribute("aria-valuetext", `${words}: predicted ${frame.prediction}, ${percent(frame.confidence)}`)
    this.buttons.first.disabled = this.buttons.back.disabled = step === 0
    this.buttons.last.disabled = this.buttons.next.disabled = step === this.end
    for (const chart of this.plots) chart.show(step)
  }

  jump(step) {
    this.pause()
    this.step = Math.min(Math.max(step, 0), this.end)
    this.show()
  }

  toggle() {
    if (this.timer) return this.pause()
    if (this.step === this.end) this.step = 0
    const play = this.buttons.play
    play.replaceChildren(icon("pause"))
    play.setAttribute("aria-label", "Pause")
    play.title = "Pause"
    const delay = Math.min(Math.max((1000 * PLAY_SECONDS) / (this.end + 1), 40), 250)
    this.timer = setInterval(() => {
      if (this.step >= this.end) return this.pause()
      this.step += 1
      this.show()
    }, delay)
    this.show()
  }

  pause() {
    clearInterval(this.timer)
    this.timer = null
    const play = this.buttons.play
    play.replaceChildren(icon("play"))
    play.setAttribute("aria-label", "Play")
    play.title = "Play"
  }

  onKey(event) {
    const onButton = event.target.closest && event.target.closest("button")
    const steps = { ArrowLeft: this.step - 1, ArrowRight: this.step + 1, Home: 0, End: this.end }
    if (event.key in steps) this.jump(steps[event.key])
    else if (event.key === " " && !onButton) this.toggle()
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  buildCharts() {
    const { frames } = this.data
    const values = (name) => frames.map((frame) => frame[name])
    const number = (name) => (step) => {
      const value = frames[step][name]
      return value === null ? "–" : `${Number(value.toPrecision(3))}`
    }
    this.plots = [
      new Chart(this, "Loss the attack raises", [["neutral", values("loss")]], number("loss")),
      new Chart(this, "Margin", [["neutral", values("margin")]], number("margin"), {
        limit: 0, note: "above the dashed line the label has lost",
      }),
      new Chart(this, "Distance", [["neutral", values("distance")]],
        (step) => `${frames[step].distance_words}`, {
          limit: this.data.epsilon, floor: 0, note: "the dashed line is the budget",
        }),
      new Chart(this, "Probability", [["blue", values("p_label")], ["orange", values("p_other")]],
        (step) => `${percent(frames[step].p_label)} | ${percent(frames[step].p_other)}`, {
          floor: 0, ceiling: 1, legend: [["blue", "solid", this.data.label], ["orange", "dashed", this.data.other]],
        }),
    ]
    this.charts.replaceChildren(...this.plots.map((plot) => plot.node))
  }

  destroy() {
    this.pause()
    this.observer.disconnect()
  }
}

class Chart {
  constructor(player, title, series, words, { limit, floor, ceiling, note, legend } = {}) {
    this.words = words
    this.value = element("span")
    const all = series.flatMap(([, values]) => values).filter(Number.isFinite)
    if (limit !== undefined) all.push(limit)
    let low = floor ?? Math.min(...all), high = ceiling ?? Math.max(...all) * (floor === 0 ? 1.1 : 1)
    if (high - low < 1e-9) high = low + 1
    this.count = series[0][1].length
    const y = (v) => 60 - (56 * (Math.min(Math.max(v, low), high) - low)) / (high - low)
    const svg = element("svg", { viewBox: "0 0 100 64", preserveAspectRatio: "none", role: "img", "aria-label": `${title} at each step` })
    svg.append(element("line", { class: "axis", x1: 0, x2: 100, y1: 62, y2: 62 }))
    if (limit !== undefined) svg.append(element("line", { class: "limit", x1: 0, x2: 100, y1: y(limit), y2: y(limit) }))
    for (const [name, values] of series) {
      const points = values.flatMap((v, i) => (Number.isFinite(v) ? [`${this.x(i)} ${y(v)}`] : []))
      if (!points.length) continue
      svg.append(element("path", { class: name, d: `M${points.join("L")}` }))
    }
    this.cursor = element("line", { class: "cursor", y1: 0, y2: 64 })
    svg.append(this.cursor)
    const seek = (event) => {
      const box = svg.getBoundingClientRect()
      player.jump(Math.round(((event.clientX - box.left) / box.width) * (this.count - 1)))
    }
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId)
      seek(event)
    })
    svg.addEventListener("pointermove", (event) => event.buttons && seek(event))
    const foot = element("div", { class: "note" }, note ?? "")
    if (legend) {
      const colour = { blue: "var(--clean)", orange: "var(--adversarial)" }
      foot.replaceChildren(...legend.map(([name, dash, text]) =>
        element("span", {}, element("i", { style: `border-top: 3px ${dash} ${colour[name]}` }), ` ${text}`)))
    }
    this.node = element("div", { class: "chart" }, element("header", {}, element("b", {}, title), this.value), svg, foot)
  }

  x(step) {
    return this.count > 1 ? (100 * step) / (this.count - 1) : 50
  }

  show(step) {
    this.value.textContent = this.words(step)
    this.cursor.setAttribute("x1", this.x(step))
    this.cursor.setAttribute("x2", this.x(step))
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root")
  if (!players.has(root)) players.set(root, new Player(root))
  players.get(root).update(data)
  return () => {
    players.get(root)?.destroy()
    players.delete(root)
  }
}
