#include "shims/float_text.h"

#include <charconv>
#include <cmath>
#include <system_error>

namespace
{

/* Longest: "-2.2250738585072014e-308", 24 characters. */
constexpr size_t TEXT_BYTES = 32;

template <typename Float> size_t to_text(Float v, char *out)
{
    std::to_chars_result result = std::to_chars(out, out + TEXT_BYTES, v);
    return static_cast<size_t>(result.ptr - out);
}

/* Without a digit the text is one of the words, which alone may give an infinity or a NaN. */
bool has_digit(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] >= '0' && text[i] <= '9')
            return true;
    }
    return false;
}

/* from_chars answers "out of range" at both ends; only the large end is refused here. */
bool is_tiny(const char *text, size_t len)
{
    long long exponent = 0;
    long long point = -1; /* digits before the point, counted from the first non-zero one */
    long long seen = 0;   /* digits up to and with the first non-zero one, after the point */
    bool after_point = false;
    bool nonzero = false;
    size_t i = 0;
    for (; i < len && text[i] != 'e' && text[i] != 'E'; i++) {
        if (text[i] == '.') {
            after_point = true;
            continue;
        }
        if (!nonzero && text[i] != '0')
            nonzero = true;
        if (nonzero && !after_point)
            point++;
        if (after_point && !nonzero)
            seen++;
    }
    long long magnitude = point >= 0 ? point : -seen - 1;
    if (i < len) {
        bool negative = i + 1 < len && text[i + 1] == '-';
        for (i++; i < len; i++) {
            if (text[i] >= '0' && text[i] <= '9' && exponent < 1000000000000)
                exponent = exponent * 10 + (text[i] - '0');
        }
        exponent = negative ? -exponent : exponent;
    }
    return magnitude + exponent < 0;
}

template <typename Float> bool from_text(const char *text, size_t len, Float *out)
{
    if (len == 0 || text[0] == '-' || text[0] == '+')
        return false;
    Float v = 0;
    std::from_chars_result result = std::from_chars(text, text + len, v);
    if (result.ptr != text + len || text[len - 1] == ')')
        return false;
    if (result.ec == std::errc::result_out_of_range) {
        if (!is_tiny(text, len))
            return false;
        *out = 0;
        return true;
    }
    if (result.ec != std::errc() || (std::isinf(v) && has_digit(text, len)))
        return false;
    *out = v;
    return true;
}

} // namespace

size_t kal_shim_double_to_text(double v, char *out)
{
    return to_text(v, out);
}

size_t kal_shim_float_to_text(float v, char *out)
{
    return to_text(v, out);
}

bool kal_shim_text_to_double(const char *text, size_t len, double *out)
{
    return from_text(text, len, out);
}

bool kal_shim_text_to_float(const char *text, size_t len, float *out)
{
    return from_text(text, len, out);
}
