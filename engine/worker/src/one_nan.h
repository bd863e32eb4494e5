/* What stands before each of QuickJS's C files: every number they make has one NaN.
 *
 * QuickJS keeps the bits of a NaN that arithmetic or memory gave it. They would be a message that
 * passes through frozen objects, and their sign is the processor's. Its sources are compiled as
 * they come; this header gives the function that makes a number (quickjs.h, __JS_NewFloat64) a
 * stand-in that knows one NaN, 7ff8000000000000. Numbers are made there and nowhere else, so what a
 * typed array or a DataView is written with has that form.
 *
 * The compiler runs in the folder of the crate that has the sources, so the header is found by its
 * place there; other C files of a build, and those in assembler, are left alone.
 */
#ifndef __ASSEMBLER__
#if __has_include("quickjs/quickjs.h")
#include "quickjs/quickjs.h"

static inline JSValue kenvat_new_float64(double d)
{
    return __JS_NewFloat64(__builtin_isnan(d) ? __builtin_nan("") : d);
}

#define __JS_NewFloat64(d) kenvat_new_float64(d)
#endif
#endif
