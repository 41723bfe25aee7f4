/*
 * temporal.c: DATE, TIME, TIMESTAMP and DATETIME as text, with the tolerances of DuckDB 1.4.
 *
 *   date       [-]Y-M-D with '-', '/', '\' or blank between; " (BC)" after it; infinity, inf, epoch
 *   time       H:M[:S[.ffffff]]; digits beyond microseconds are dropped; 24:00:00 is the end of a
 *              day
 *   instant    date [T or blank] time [Z | +HH[[:]MM[:SS]] | " UTC"]
 *
 * Year 0 is 1 BC. A DATE may be followed by anything that does not begin with a digit, and a TIME
 * with seconds by anything at all: DuckDB reads '2024-02-29T10:00' as a date and so do we.
 * TIMESTAMP reads an offset and drops it; DATETIME subtracts it. Only UTC is known by name.
 */
#include "types/text.h"
#include "types/text_internal.h"

#define DAYS_PER_ERA        146097 /* 400 years */
#define DAYS_BEFORE_EPOCH   719468 /* from 0000-03-01 to 1970-01-01 */
#define YEAR_DIGITS_LIMIT   100000000
#define HOUR_DIGITS_MAX     9
#define MICROS_PER_MINUTE   (60 * KAL_MICROS_PER_SECOND)
#define MICROS_PER_HOUR     (60 * MICROS_PER_MINUTE)
#define FRACTION_DIGITS     6
#define INFINITY_NAME       "infinity"
#define INFINITY_SHORT_NAME "inf"

/* --- calendar --- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Years begin in March here, so that the leap day is a year's last day and a month's first day is
 * a linear function of its number. */
int64_t kal_days_from_civil(int64_t year, unsigned month, unsigned day)
{
    int64_t march_year = month <= 2 ? year - 1 : year;
    int64_t era = floor_div(march_year, 400);
    int64_t year_of_era = march_year - era * 400;
    int64_t month_from_march = month > 2 ? (int64_t)month - 3 : (int64_t)month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + (int64_t)day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * DAYS_PER_ERA + day_of_era - DAYS_BEFORE_EPOCH;
}

void kal_civil_from_days(int64_t days, int64_t *year_out, unsigned *month_out, unsigned *day_out)
{
    int64_t shifted = days + DAYS_BEFORE_EPOCH;
    int64_t era = floor_div(shifted, DAYS_PER_ERA);
    int64_t day_of_era = shifted - era * DAYS_PER_ERA;
    int64_t leap_days = day_of_era / 1460 - day_of_era / 36524 + day_of_era / 146096;
    int64_t year_of_era = (day_of_era - leap_days) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;

    *day_out = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *month_out = (unsigned)month;
    *year_out = era * 400 + year_of_era + (month <= 2);
}

static bool is_leap_year(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned days_in_month(int64_t year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap_year(year) ? 29u : days[month - 1];
}

bool kal_date_is_finite(int64_t days)
{
    return days >= KAL_DATE_MIN && days <= KAL_DATE_MAX;
}

bool kal_instant_is_finite(int64_t micros)
{
    return micros >= KAL_INSTANT_MIN && micros <= KAL_INSTANT_MAX;
}

bool kal_temporal_in_range(kal_type_tag tag, int64_t v)
{
    switch (tag) {
    case KAL_TYPE_DATE:
        return v >= -KAL_DATE_INFINITY && v <= KAL_DATE_INFINITY;
    case KAL_TYPE_TIME:
        return v >= 0 && v <= KAL_MICROS_PER_DAY;
    case KAL_TYPE_TIMESTAMP:
    case KAL_TYPE_DATETIME:
        return kal_instant_is_finite(v) || v == KAL_INSTANT_INFINITY || v == -KAL_INSTANT_INFINITY;
    default:
        return true;
    }
}

bool kal_instant_from_date(int64_t days, int64_t *micros_out)
{
    if (!kal_date_is_finite(days)) {
        *micros_out = days > 0 ? KAL_INSTANT_INFINITY : -KAL_INSTANT_INFINITY;
        return true;
    }
    return kal_try_mul(days, KAL_MICROS_PER_DAY, micros_out) && kal_instant_is_finite(*micros_out);
}

int64_t kal_date_from_instant(int64_t micros)
{
    if (!kal_instant_is_finite(micros))
        return micros > 0 ? KAL_DATE_INFINITY : -KAL_DATE_INFINITY;
    return floor_div(micros, KAL_MICROS_PER_DAY);
}

int64_t kal_time_from_instant(int64_t micros)
{
    return micros - floor_div(micros, KAL_MICROS_PER_DAY) * KAL_MICROS_PER_DAY;
}

/* --- reading --- */

/* A place in the text; peek() answers 0 at the end. */
typedef struct cursor {
    kal_bytes text;
    size_t at;
} cursor;

static uint8_t peek(const cursor *c)
{
    return c->at < c->text.len ? c->text.ptr[c->at] : 0;
}

static bool at_end(const cursor *c)
{
    return c->at >= c->text.len;
}

static bool take(cursor *c, uint8_t wanted)
{
    if (at_end(c) || c->text.ptr[c->at] != wanted)
        return false;
    c->at++;
    return true;
}

static void take_spaces(cursor *c)
{
    while (kal_is_space(peek(c)))
        c->at++;
}

/* One or two digits. */
static bool take_short_number(cursor *c, unsigned *out)
{
    if (!kal_is_digit(peek(c)))
        return false;
    *out = (unsigned)(c->text.ptr[c->at++] - '0');
    if (kal_is_digit(peek(c)))
        *out = *out * 10 + (unsigned)(c->text.ptr[c->at++] - '0');
    return true;
}

/* Exactly two digits. */
static bool take_pair(cursor *c, int64_t *out)
{
    if (c->at + 2 > c->text.len || !kal_is_digit(c->text.ptr[c->at]) ||
        !kal_is_digit(c->text.ptr[c->at + 1]))
        return false;
    *out = (c->text.ptr[c->at] - '0') * 10 + (c->text.ptr[c->at + 1] - '0');
    c->at += 2;
    return true;
}

static kal_bytes rest_of(const cursor *c)
{
    return kal_bytes_of(c->text.ptr + c->at, c->text.len - c->at);
}

/* infinity, epoch (also followed by spaces) or inf (only as the very end). */
static kal_parse take_special_date(cursor *c, bool negative, int64_t *days_out)
{
    kal_bytes rest = rest_of(c);

    while (rest.len > 0 && kal_is_space(rest.ptr[rest.len - 1]))
        rest.len--;
    c->at = c->text.len;
    if (kal_bytes_equal_nocase(rest, KAL_STR("epoch"))) {
        *days_out = 0;
        return KAL_PARSE_OK;
    }
    if (!kal_bytes_equal_nocase(rest, KAL_STR(INFINITY_NAME)) &&
        !(kal_bytes_equal_nocase(rest, KAL_STR(INFINITY_SHORT_NAME)) &&
          rest.ptr + rest.len == c->text.ptr + c->text.len))
        return KAL_PARSE_FORMAT;
    *days_out = negative ? -KAL_DATE_INFINITY : KAL_DATE_INFINITY;
    return KAL_PARSE_OK;
}

static kal_parse take_year(cursor *c, int64_t *year_out)
{
    int64_t year = 0;
    while (kal_is_digit(peek(c))) {
        if (year >= YEAR_DIGITS_LIMIT)
            return KAL_PARSE_RANGE;
        year = year * 10 + (c->text.ptr[c->at++] - '0');
    }
    *year_out = year;
    return KAL_PARSE_OK;
}

/* A blank and (BC), in any case. */
static bool take_bc(cursor *c)
{
    kal_bytes rest = rest_of(c);
    if (rest.len < 5 || !kal_is_space(rest.ptr[0]) ||
        !kal_bytes_equal_nocase(kal_bytes_of(rest.ptr + 1, 4), KAL_STR("(BC)")))
        return false;
    c->at += 5;
    return true;
}

static kal_parse check_date(int64_t year, unsigned month, unsigned day, int64_t *days_out)
{
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return KAL_PARSE_RANGE;
    *days_out = kal_days_from_civil(year, month, day);
    return kal_date_is_finite(*days_out) ? KAL_PARSE_OK : KAL_PARSE_RANGE;
}

/* A date at the cursor; *special_out: infinity or epoch, which nothing may follow. */
static kal_parse take_date(cursor *c, int64_t *days_out)
{
    int64_t year;
    unsigned month;
    unsigned day;
    uint8_t separator;
    kal_parse parsed;
    bool negative;

    take_spaces(c);
    negative = take(c, '-');
    if (at_end(c))
        return KAL_PARSE_FORMAT;
    if (!kal_is_digit(peek(c)))
        return take_special_date(c, negative, days_out);
    parsed = take_year(c, &year);
    if (parsed != KAL_PARSE_OK)
        return parsed;
    separator = peek(c);
    if (separator != '-' && separator != '/' && separator != '\\' && separator != ' ')
        return KAL_PARSE_FORMAT;
    c->at++;
    if (!take_short_number(c, &month) || !take(c, separator) || !take_short_number(c, &day))
        return KAL_PARSE_FORMAT;
    if (negative)
        year = -year;
    if (take_bc(c)) {
        if (negative || year == 0)
            return KAL_PARSE_FORMAT;
        year = 1 - year;
    }
    if (kal_is_digit(peek(c)))
        return KAL_PARSE_FORMAT;
    return check_date(year, month, day, days_out);
}

kal_parse kal_date_parse(kal_bytes text, int64_t *days_out)
{
    cursor c = {.text = text};
    return take_date(&c, days_out);
}

/* The part after the point; digits beyond the sixth are dropped. */
static int64_t take_fraction(cursor *c)
{
    int64_t micros = 0;
    int64_t unit = KAL_MICROS_PER_SECOND / 10;
    while (kal_is_digit(peek(c))) {
        micros += unit * (c->text.ptr[c->at++] - '0');
        unit /= 10;
    }
    return micros;
}

/* ":MM" or ":SS" after what went before; a missing number at the end of the text is 0. */
static bool take_sixtieths(cursor *c, unsigned *out)
{
    *out = 0;
    if (!take(c, ':'))
        return false;
    return at_end(c) || (take_short_number(c, out) && *out < 60);
}

/* A time at the cursor, hours up to nine digits: not yet checked against the day. */
static bool take_time(cursor *c, int64_t *micros_out)
{
    int64_t hour = 0;
    unsigned minute;
    unsigned second = 0;
    int64_t fraction = 0;
    size_t start;

    take_spaces(c);
    for (start = c->at; kal_is_digit(peek(c)); c->at++)
        if (c->at - start < HOUR_DIGITS_MAX)
            hour = hour * 10 + (peek(c) - '0');
        else
            return false;
    if (c->at == start || !take_sixtieths(c, &minute))
        return false;
    if (!at_end(c) && !take_sixtieths(c, &second))
        return false;
    if (take(c, '.'))
        fraction = take_fraction(c);
    *micros_out = ((hour * 60 + minute) * 60 + second) * KAL_MICROS_PER_SECOND + fraction;
    return true;
}

kal_parse kal_time_parse(kal_bytes text, int64_t *micros_out)
{
    cursor c = {.text = text};
    int64_t instant;

    if (take_time(&c, micros_out))
        return *micros_out <= KAL_MICROS_PER_DAY ? KAL_PARSE_OK : KAL_PARSE_RANGE;
    if (kal_instant_parse(text, false, &instant) != KAL_PARSE_OK || !kal_instant_is_finite(instant))
        return KAL_PARSE_FORMAT;
    *micros_out = kal_time_from_instant(instant);
    return KAL_PARSE_OK;
}

/* +HH, +HHMM, +HH:MM or +HH:MM:SS; a piece that is not there is left for the caller. */
static bool take_offset(cursor *c, int64_t *micros_out)
{
    uint8_t sign = peek(c);
    cursor trial = *c;
    int64_t hours;
    int64_t minutes = 0;
    int64_t seconds = 0;
    bool colon;

    if (sign != '+' && sign != '-')
        return false;
    trial.at++;
    if (!take_pair(&trial, &hours))
        return false;
    colon = take(&trial, ':');
    if (take_pair(&trial, &minutes) && colon && take(&trial, ':'))
        (void)take_pair(&trial, &seconds);
    *micros_out = ((hours * 60 + minutes) * 60 + seconds) * KAL_MICROS_PER_SECOND;
    if (sign == '-')
        *micros_out = -*micros_out;
    *c = trial;
    return true;
}

static bool is_zone_character(uint8_t c)
{
    return kal_is_digit(c) ||
           (kal_ascii_lower((char)c) >= 'a' && kal_ascii_lower((char)c) <= 'z') || c == '_' ||
           c == '/' || c == '+' || c == '-';
}

/* What may follow the time: Z, an offset, a blank and a zone's name; then spaces. */
static kal_parse take_zone(cursor *c, int64_t *offset_out)
{
    bool named = false;

    *offset_out = 0;
    if (at_end(c))
        return KAL_PARSE_OK;
    if (!take(c, 'Z') && !take_offset(c, offset_out)) {
        size_t start;
        if (!take(c, ' '))
            return KAL_PARSE_ZONE;
        for (start = c->at; is_zone_character(peek(c)); c->at++)
            continue;
        named = c->at > start &&
                !kal_bytes_equal_nocase(kal_bytes_of(c->text.ptr + start, c->at - start),
                                        KAL_STR("UTC"));
    }
    take_spaces(c);
    if (!at_end(c))
        return KAL_PARSE_FORMAT;
    return named ? KAL_PARSE_ZONE : KAL_PARSE_OK;
}

static bool add_time(int64_t day_start, int64_t time, int64_t offset, int64_t *out)
{
    return kal_try_add(day_start, time, out) && kal_instant_is_finite(*out) &&
           kal_try_sub(*out, offset, out) && kal_instant_is_finite(*out);
}

kal_parse kal_instant_parse(kal_bytes text, bool use_offset, int64_t *micros_out)
{
    cursor c = {.text = text};
    int64_t days;
    int64_t day_start;
    int64_t time = 0;
    int64_t offset = 0;
    kal_parse parsed = take_date(&c, &days);

    if (parsed != KAL_PARSE_OK)
        return parsed;
    if (!at_end(&c)) {
        if (peek(&c) == ' ' || peek(&c) == 'T')
            c.at++;
        if (!take_time(&c, &time))
            return KAL_PARSE_FORMAT;
        if (time > KAL_MICROS_PER_DAY)
            return KAL_PARSE_RANGE;
        parsed = take_zone(&c, &offset);
        if (parsed != KAL_PARSE_OK)
            return parsed;
    }
    if (!kal_instant_from_date(days, &day_start))
        return KAL_PARSE_RANGE;
    if (!kal_instant_is_finite(day_start)) {
        *micros_out = day_start;
        return KAL_PARSE_OK;
    }
    return add_time(day_start, time, use_offset ? offset : 0, micros_out) ? KAL_PARSE_OK
                                                                          : KAL_PARSE_RANGE;
}

/* --- printing --- */

/* At least `width` digits, zeros before. */
static void append_padded(uint64_t v, int width, kal_buf *out)
{
    char digits[20];
    int at = (int)sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0 || (int)sizeof digits - at < width);
    kal_buf_append(out, digits + at, sizeof digits - (size_t)at);
}

void kal_date_format(int64_t days, kal_buf *out)
{
    int64_t year;
    unsigned month;
    unsigned day;

    if (!kal_date_is_finite(days)) {
        kal_buf_append_cstr(out, days > 0 ? INFINITY_NAME : "-" INFINITY_NAME);
        return;
    }
    kal_civil_from_days(days, &year, &month, &day);
    append_padded((uint64_t)(year > 0 ? year : 1 - year), 4, out);
    kal_buf_append_byte(out, '-');
    append_padded(month, 2, out);
    kal_buf_append_byte(out, '-');
    append_padded(day, 2, out);
    if (year <= 0)
        kal_buf_append_cstr(out, " (BC)");
}

void kal_time_format(int64_t micros, kal_buf *out)
{
    uint64_t rest = (uint64_t)micros % KAL_MICROS_PER_SECOND;
    int digits = FRACTION_DIGITS;

    append_padded((uint64_t)(micros / MICROS_PER_HOUR), 2, out);
    kal_buf_append_byte(out, ':');
    append_padded((uint64_t)(micros / MICROS_PER_MINUTE % 60), 2, out);
    kal_buf_append_byte(out, ':');
    append_padded((uint64_t)(micros / KAL_MICROS_PER_SECOND % 60), 2, out);
    if (rest == 0)
        return;
    while (rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    kal_buf_append_byte(out, '.');
    append_padded(rest, digits, out);
}

void kal_instant_format(int64_t micros, bool utc, kal_buf *out)
{
    if (!kal_instant_is_finite(micros)) {
        kal_buf_append_cstr(out, micros > 0 ? INFINITY_NAME : "-" INFINITY_NAME);
        return;
    }
    kal_date_format(kal_date_from_instant(micros), out);
    kal_buf_append_byte(out, ' ');
    kal_time_format(kal_time_from_instant(micros), out);
    if (utc)
        kal_buf_append_cstr(out, "+00");
}
