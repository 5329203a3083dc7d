"use strict";

const element = (id) => document.getElementById(id);

/** Show the service's answer, or its error sentence. */
async function show(request) {
  element("answer").textContent = "…";
  element("voice").hidden = true;
  let failed = false;
  let body;
  try {
    const response = await request;
    body = await response.json();
    failed = !response.ok;
  } catch {
    body = { message: "The service cannot be reached. · 서비스에 연결할 수 없습니다." };
    failed = true;
  }
  element("question").textContent = body.query ?? "";
  element("answer").textContent = failed ? body.message : body.answer;
  element("answer").classList.toggle("failed", failed);
  if (body.tts_url) {
    element("voice").src = body.tts_url;
    element("voice").hidden = false;
  }
}

const authorization = () => ({ Authorization: `Bearer ${element("key").value}` });

function ask(sound) {
  const form = new FormData();
  form.append("file", sound);
  show(fetch("/api/voice-chat", { method: "POST", headers: authorization(), body: form }));
}

element("typed").addEventListener("submit", (event) => {
  event.preventDefault();
  const headers = { ...authorization(), "Content-Type": "application/json" };
  const body = JSON.stringify({ query: element("query").value });
  show(fetch("/api/chat", { method: "POST", headers, body }));
});

element("spoken").addEventListener("submit", (event) => {
  event.preventDefault();
  ask(element("file").files[0]);
});

element("record").addEventListener("click", async () => {
  const button = element("record");
  if (button.recorder) {
    button.recorder.stop();
    return;
  }
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  const parts = [];
  const recorder = new MediaRecorder(microphone);
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.addEventListener("stop", () => {
    microphone.getTracks().forEach((track) => track.stop());
    button.recorder = undefined;
    button.textContent = "Record · 녹음";
    ask(new File(parts, "recording"));
  });
  recorder.start();
  button.recorder = recorder;
  button.textContent = "Stop · 멈춤";
});
