// A page that was opened from the file system may start no workers. This lends the search a hidden frame in place of one.
(() => {
  if (location.protocol !== "file:") return;
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame);
      this.frame = frame.contentWindow;
      addEventListener("message", (event) => {
        if (event.source !== this.frame) return;
        const copy = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(copy);
        if (this.onmessage) this.onmessage(copy);
      });
      const page = this.frame.document;
      page.open();
      page.write(`<script>
        postMessage = (data) => parent.postMessage(data, "*");
        importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done, failed) => {
          const script = document.createElement("script");
          script.src = url; script.onload = done; script.onerror = failed;
          document.body.appendChild(script);
        })), Promise.resolve());
      <\/script><script src="${url}"><\/script>`);
      page.close();
      frame.addEventListener("load", () => {
        this.loaded = true;
        this.waiting.splice(0).forEach((data) => this.deliver(data));
      });
    }
    postMessage(data) {
      if (this.loaded) this.deliver(data);
      else this.waiting.push(data);
    }
    deliver(data) {
      // The frame's own postMessage leads here, as a worker's does.
      this.frame.dispatchEvent(new this.frame.MessageEvent("message", { data }));
    }
    terminate() {}
  };
})();
