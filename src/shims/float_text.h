/*
 * float_text.h: std::to_chars and std::from_chars for C: the shortest text that reads back to the
 * same bits, and correctly rounded reading, both without a locale.
 */
#ifndef KAL_SHIMS_FLOAT_TEXT_H
#define KAL_SHIMS_FLOAT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Shortest text of v into out (at least 32 bytes); returns its length. No NUL is added. */
size_t kal_shim_double_to_text(double v, char *out);
size_t kal_shim_float_to_text(float v, char *out);

/* Reads the whole text: a decimal number without sign, "inf", "infinity" or "nan" in any case.
 * A number too small to be told from zero is 0; one too large is refused. */
bool kal_shim_text_to_double(const char *text, size_t len, double *out);
bool kal_shim_text_to_float(const char *text, size_t len, float *out);

#ifdef __cplusplus
}
#endif

#endif
