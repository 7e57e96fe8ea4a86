// The theme searches in a worker, which browsers refuse to pages that are opened from disk. There, and only there, this
// class stands in for it: a hidden frame that runs the worker's script. (The theme would load such a class from unpkg.com.)
class FrameWorker extends EventTarget {
  constructor(url) {
    super()
    const frame = document.createElement("iframe")
    frame.hidden = true
    document.body.appendChild(frame)
    this.inside = frame.contentWindow
    this.inside.answered = data => this.answer(data)
    this.inside.document.open()
    this.inside.document.write(
      "<script>postMessage = data => answered(data); importScripts = () => {}</script>" +
      `<script src="${new URL(url, document.baseURI)}"></script>`)
    this.inside.document.close()
    this.ready = new Promise(resolve => { frame.onload = resolve })
  }

  answer(data) {
    const event = new MessageEvent("message", { data })
    this.dispatchEvent(event)
    if (this.onmessage) this.onmessage(event)
  }

  postMessage(data) {
    this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
  }

  terminate() {
    this.inside.frameElement.remove()
  }
}

if (location.protocol === "file:") window.Worker = FrameWorker
