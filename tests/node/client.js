// A WebSocket client from elsewhere: node client.js PORT
// Says one thing after the other, each when the one before has come back; tells what it heard.
"use strict";

const WebSocket = require("ws");

const text = "Grüße aus Köln 😀";
const large = Buffer.alloc(500_000, "0123456789abcdef");
const halves = Buffer.from(text);

const heard = {};
let answered;

const socket = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/`);
socket.on("error", (error) => {
  console.error(String(error));
  process.exit(1);
});
socket.on("message", (data, binary) => answered(binary ? data : data.toString()));
socket.on("pong", (data) => answered(`pong ${data}`));
socket.on("close", (code, reason) => {
  heard.close = [code, reason.toString()];
  console.log(JSON.stringify(heard));
});

async function say(name, expected, ...speak) {
  const answer = new Promise((resolve) => (answered = resolve));
  speak.forEach((each) => each());
  const got = await answer;
  heard[name] = Buffer.isBuffer(expected)
    ? Buffer.isBuffer(got) && expected.equals(got)
    : expected === got;
}

socket.on("open", async () => {
  await say("text", text, () => socket.send(text));
  await say("no text", "", () => socket.send(""));
  await say("binary", halves, () => socket.send(halves));
  await say("large", large, () => socket.send(large));
  await say("large text", large.toString(), () => socket.send(large.toString()));
  await say(
    "fragments", // cut inside the character ü
    text,
    () => socket.send(halves.subarray(0, 3), { binary: false, fin: false }),
    () => socket.send(halves.subarray(3, 9), { binary: false, fin: false }),
    () => socket.send(halves.subarray(9), { binary: false, fin: true }),
  );
  await say("ping", "pong are you there?", () => socket.ping("are you there?"));
  socket.close(4000, "Tschüß");
});
