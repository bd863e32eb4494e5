// console: lines of the vat's log, committed with the turn that writes them.
(host) => {
  'use strict';
  const { log, format } = host;
  const { freeze } = Object;
  const line = (level) => (...values) => {
    let text = '';
    for (let at = 0; at < values.length; at += 1) {
      text += at === 0 ? format(values[at]) : ` ${format(values[at])}`;
    }
    log(level, text);
  };
  const console = {
    log: line('log'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    debug: line('debug'),
  };
  // The start compartment's alone: what a compartment may say, its maker decides.
  host.start.console = freeze(console);
  return {};
}
