globalThis.answer = 42;
answer === 42 && 'answer' in globalThis
  && delete globalThis.answer && typeof answer === 'undefined';
