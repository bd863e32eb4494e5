// What a vat's program has beside the language itself, for editors and type checkers.
//
// Put it beside your program, with a jsconfig.json like the one here: `lib` without "dom", and no
// `types`, since a vat has neither a browser's names nor Node's. For the powers write
//
//   /** @param {Kenvat.Powers} powers */
//   export default (powers) => …
//
// Editors do not know `x ! m()`; `E(x).m()` is the same. Of the names in "esnext" a vat has no
// Atomics, FinalizationRegistry, Intl, SharedArrayBuffer and WeakRef, and Date.now, Math.random and
// `new Date()` without a time throw. A test holds this file against a running vat.

declare namespace Kenvat {
  /**
   * What a program's start function and `init` get; `--give NAME=json:…` adds names, `--deny NAME`
   * withholds one of these.
   */
  interface Powers {
    /** Undoes this turn, to the bit, and tells its caller why. Nothing runs after it. */
    abort(reason?: string): never;
    readonly clock: TurnClock;
    readonly random: Random;
    readonly timer: Timer;
    readonly [given: string]: any;
  }

  interface TurnClock {
    /** Milliseconds since 1970; stands still within a turn. */
    now(): number;
  }

  /** Chance that came with the turn's message and that nobody could guess. */
  interface Random {
    /** At most 65,536. */
    bytes(count: number): Uint8Array;
    /** A whole number from 0 up to and without `limit`, each as likely. */
    int(limit: number): number;
  }

  /** Durable timers; at most 10,000 at a time are set. */
  interface Timer {
    /** Fulfilled so many milliseconds from now; at most a hundred years. */
    wake(ms: number): Promise<undefined>;
    /** 1, 2, 3 … every `ms`, for `for await`; what a slow reader misses is left out. */
    every(ms: number): Clock;
    /** Rejects what `wake` gave, ends what `every` gave; false when it was over already. */
    cancel(timer: Promise<undefined> | Clock): boolean;
  }

  interface Clock extends AsyncIterable<number> {
    next(): Promise<IteratorResult<number, undefined>>;
    return(): Promise<IteratorResult<number, undefined>>;
  }

  type Callable = (...args: any[]) => any;
  type Answer<T> = Promise<Awaited<T>>;
  type IsAny<T> = 0 extends 1 & T ? true : false;
  type SendTo<T> = T extends (...args: infer A) => infer R ? (...args: A) => Answer<R> : unknown;
  type Methods<T> = {
    readonly [K in keyof T as T[K] extends Callable ? K : never]: SendTo<T[K]>;
  };
  /** The methods of `T`, each answering with a promise. */
  type Sends<T> = IsAny<T> extends true ? any : SendTo<T> & Methods<T>;
  type Properties<T> = IsAny<T> extends true ? any : { readonly [K in keyof T]: Answer<T[K]> };

  interface EventualSend {
    <T>(target: T): Sends<Awaited<T>>;
    /** `E.get(x).p`: a promise for a property. */
    get<T>(target: T): Properties<Awaited<T>>;
    /** `E.sendOnly(x).m(a)`: no answer is wanted. */
    sendOnly(target: unknown): any;
    when<T, A = T, B = never>(
      value: T,
      fulfilled?: (value: Awaited<T>) => A | PromiseLike<A>,
      rejected?: (reason: any) => B | PromiseLike<B>,
    ): Promise<A | B>;
    resolve<T>(value: T): Answer<T>;
  }

  interface Handler {
    get?(target: any, key: PropertyKey, promise?: Promise<any>): any;
    getSendOnly?(target: any, key: PropertyKey): void;
    applyMethod?(target: any, key: PropertyKey | undefined, args: any[], p?: Promise<any>): any;
    applyMethodSendOnly?(target: any, key: PropertyKey, args: any[]): void;
    applyFunction?(target: any, args: any[], promise?: Promise<any>): any;
    applyFunctionSendOnly?(target: any, args: any[]): void;
  }

  interface HandledPromiseConstructor {
    new <T = any>(
      executor: (
        resolve: (value?: any) => void,
        reject: (reason?: any) => void,
        resolveWithPresence: (handler: Handler, options?: object) => object,
      ) => void,
      handler?: Handler,
    ): Promise<T>;
    readonly prototype: Promise<any>;
    resolve<T>(value: T): Answer<T>;
    get(target: any, key: PropertyKey): Promise<any>;
    getSendOnly(target: any, key: PropertyKey): void;
    applyMethod(target: any, key: PropertyKey, args: ArrayLike<any>): Promise<any>;
    applyMethodSendOnly(target: any, key: PropertyKey, args: ArrayLike<any>): void;
    applyFunction(target: any, args: ArrayLike<any>): Promise<any>;
    applyFunctionSendOnly(target: any, args: ArrayLike<any>): void;
  }

  interface PromiseKit<T> {
    readonly promise: Promise<T>;
    readonly resolve: (value?: T | PromiseLike<T>) => void;
    readonly reject: (reason?: any) => void;
  }

  interface Deferred<T> {
    readonly promise: QPromise<T>;
    readonly resolve: (value?: T | PromiseLike<T>) => void;
    readonly reject: (reason?: any) => void;
  }

  /** What `Q(x)` and whatever a method of Q returns is: a promise with these methods. */
  interface QPromise<T> extends Promise<T> {
    then<A = T, B = never>(
      fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
      rejected?: ((reason: any) => B | PromiseLike<B>) | null,
    ): QPromise<A | B>;
    when<A = T, B = never>(
      fulfilled?: (value: T) => A | PromiseLike<A>,
      rejected?: (reason: any) => B | PromiseLike<B>,
    ): QPromise<A | B>;
    catch<B = never>(rejected?: ((reason: any) => B | PromiseLike<B>) | null): QPromise<T | B>;
    finally(work?: (() => void) | null): QPromise<T>;
    end(): void;
    done(fulfilled?: (value: T) => void, rejected?: (reason: any) => void): void;
    get(key: PropertyKey): QPromise<any>;
    post(name: PropertyKey | null | undefined, args?: any[]): QPromise<any>;
    send(name: PropertyKey, ...args: any[]): QPromise<any>;
    invoke(name: PropertyKey, ...args: any[]): QPromise<any>;
    join(...others: any[]): QPromise<T>;
    all(): QPromise<any[]>;
    spread(fulfilled: Callable, rejected?: (reason: any) => any): QPromise<any>;
    delay(ms: number): QPromise<T>;
    timeout(ms: number, message?: any): QPromise<T>;
  }

  /** A compartment's own Q has no `delay` and `timeout`. */
  interface QFunction {
    <T>(value: T): QPromise<Awaited<T>>;
    defer<T = any>(): Deferred<T>;
    promise<T = any>(
      resolver: (resolve: (value?: any) => void, reject: (reason?: any) => void) => void,
    ): QPromise<T>;
    reject(reason?: any): QPromise<never>;
    fulfill<T>(value: T): QPromise<T>;
    when(value: any, fulfilled?: Callable, rejected?: Callable): QPromise<any>;
    all(...values: any[]): QPromise<any[]>;
    allSettled(...values: any[]): QPromise<any[]>;
    any(...values: any[]): QPromise<any>;
    race(...values: any[]): QPromise<any>;
    /** The one object that all of them are, or a rejection. */
    join(...values: any[]): QPromise<any>;
    spread(value: any, fulfilled: Callable, rejected?: Callable): QPromise<any>;
    get(target: any, key: PropertyKey): QPromise<any>;
    post(target: any, name: PropertyKey | null | undefined, args?: any[]): QPromise<any>;
    send(target: any, name: PropertyKey, ...args: any[]): QPromise<any>;
    invoke(target: any, name: PropertyKey, ...args: any[]): QPromise<any>;
    fcall(target: any, ...args: any[]): QPromise<any>;
    /** A generator function whose `yield` waits for promises. */
    async(makeGenerator: (...args: any[]) => Generator): (...args: any[]) => QPromise<any>;
    memoize(f: (value: any) => any, memory?: Map<any, any>): (value: any) => QPromise<any>;
    nextTick(work: () => void): void;
    delay(ms: number, value?: any): QPromise<any>;
    delay(value: any, ms: number): QPromise<any>;
    timeout(value: any, ms: number, message?: any): QPromise<any>;
    isPromise(value: any): boolean;
    isFulfilled(value: any): boolean;
    isRejected(value: any): boolean;
    isPending(value: any): boolean;
    inspect(value: any): { state: 'pending' | 'fulfilled' | 'rejected'; value?: any; reason?: any };
  }

  /** Messages through the vows of one flow are delivered in the order they were sent. */
  interface Flow {
    makeVow<T = any>(
      executor: (resolve: (value?: any) => void, reject: (reason?: any) => void) => void,
    ): Vow<T>;
  }

  interface FlowConstructor {
    new (): Flow;
    readonly prototype: Flow;
  }

  interface Vow<T> {
    readonly e: any;
    then(fulfilled?: (value: T) => any, rejected?: (reason: any) => any): Vow<any>;
    catch(rejected?: (reason: any) => any): Vow<any>;
  }

  interface VowConstructor {
    readonly prototype: Vow<any>;
    resolve(value: any): Vow<any>;
    all(...values: any[]): Vow<any[]>;
    join(...values: any[]): Vow<any>;
    race(...values: any[]): Vow<any>;
    fromFn(work: () => any): Vow<any>;
  }

  interface CompartmentOptions {
    __options__?: true;
    globals?: object;
    modules?: object;
    name?: string;
    /** What every text of the compartment goes through before anything reads it. */
    transforms?: ((text: string) => string)[];
    /** `import` answers the namespace itself, and not a box with it. */
    __noNamespaceBox__?: boolean;
  }

  interface Compartment {
    readonly globalThis: any;
    readonly name: string;
    evaluate(text: string, options?: { transforms?: ((text: string) => string)[] }): any;
    import(specifier: string): Promise<any>;
    toString(): string;
  }

  interface CompartmentConstructor {
    new (globals?: object, modules?: object, options?: CompartmentOptions): Compartment;
    new (options: CompartmentOptions & ({ __options__: true } | { globals: object })): Compartment;
    readonly prototype: Compartment;
  }

  interface Assert {
    (condition: any, details?: any, make?: ErrorConstructor, options?: ErrorOptions):
      asserts condition;
    fail(details?: any, make?: ErrorConstructor, options?: ErrorOptions): never;
    details(template: TemplateStringsArray | string[], ...parts: any[]): object;
    quote(value: any): object;
    bare(text: string): object;
    error(details?: any, make?: ErrorConstructor, options?: ErrorOptions): Error;
    makeError(details?: any, make?: ErrorConstructor, options?: ErrorOptions): Error;
    note(error: Error, details: any): void;
    equal(actual: any, expected: any, details?: any, make?: ErrorConstructor): void;
    typeof(value: any, type: string, details?: any): void;
    string(value: any, details?: any): void;
    Fail(template: TemplateStringsArray | string[], ...parts: any[]): never;
    /** Another: `raise` is told of each error it throws; `unredacted` shows unquoted parts too. */
    makeAssert(raise?: (reason: Error) => void, unredacted?: boolean): Assert;
  }

  /** What `assert` puts on an error; `errorName` is what the log calls it. */
  interface ErrorOptions {
    errorName?: string;
    cause?: any;
    errors?: any[];
    properties?: object;
    code?: any;
    /** False leaves the error as it was made; else it is frozen. */
    sanitize?: boolean;
  }

  /** Lines of the vat's log, written when their turn is committed. */
  interface Console {
    log(...values: any[]): void;
    info(...values: any[]): void;
    warn(...values: any[]): void;
    error(...values: any[]): void;
    debug(...values: any[]): void;
  }

  interface TextEncoder {
    readonly encoding: 'utf-8';
    encode(text?: string): Uint8Array;
    encodeInto(text: string, target: Uint8Array): { read: number; written: number };
  }

  interface TextEncoderConstructor {
    new (): TextEncoder;
    readonly prototype: TextEncoder;
  }

  interface TextDecoder {
    readonly encoding: 'utf-8';
    readonly fatal: boolean;
    readonly ignoreBOM: boolean;
    decode(input?: ArrayBuffer | ArrayBufferView, options?: { stream?: boolean }): string;
  }

  interface TextDecoderConstructor {
    new (label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean }): TextDecoder;
    readonly prototype: TextDecoder;
  }

  interface Ses {
    confine(text: string, endowments?: object): any;
    confineExpr(text: string, endowments?: object): any;
  }

  interface CajaVm {
    confine(text: string, endowments?: object): any;
    def<T>(value: T): T;
    Nat<N extends number | bigint>(n: N): N;
  }
}

/** Freezes a value and everything it leads to, running no getter. Private fields stay writable. */
declare function harden<T>(value: T): T;
/** `harden`, under its old name. */
declare function def<T>(value: T): T;
/** The number itself; throws unless it is a safe integer or bigint and not negative. */
declare function Nat<N extends number | bigint>(n: N): N;
/** Freezes an object and gives it a name. */
declare function Far<T extends object>(name: string, object: T): Readonly<T>;
declare function makePromiseKit<T = any>(): Kenvat.PromiseKit<T>;
/** Does nothing: every vat is locked down from birth. */
declare function lockdown(options?: object): void;
declare function structuredClone<T>(value: T): T;
declare function queueMicrotask(work: () => void): void;
declare const E: Kenvat.EventualSend;
declare const HandledPromise: Kenvat.HandledPromiseConstructor;
declare const Q: Kenvat.QFunction;
declare const Flow: Kenvat.FlowConstructor;
declare const Vow: Kenvat.VowConstructor;
declare const Compartment: Kenvat.CompartmentConstructor;
declare const assert: Kenvat.Assert;
declare const console: Kenvat.Console;
declare const TextEncoder: Kenvat.TextEncoderConstructor;
declare const TextDecoder: Kenvat.TextDecoderConstructor;
declare const SES: Kenvat.Ses;
declare const cajaVM: Kenvat.CajaVm;
