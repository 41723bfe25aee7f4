/*
 * temporal_test.c: the calendar and its texts, against a calendar that counts day by day and
 * against libc.
 */
#include "unit/types/mapping_testing.h"

#include "types/text_internal.h"

#include <inttypes.h>
#include <time.h>

static unsigned month_days(int64_t year, unsigned month)
{
    static const unsigned DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : DAYS[month - 1];
}

/* Every day of 1,200 years, counted one by one from 1970 in both directions. */
static void test_calendar_day_by_day(void **state)
{
    (void)state;
    int64_t year = 1970;
    unsigned month = 1;
    unsigned day = 1;
    for (int64_t days = 0; year < 2570; days++) {
        int64_t y;
        unsigned m;
        unsigned d;
        kal_civil_from_days(days, &y, &m, &d);
        assert_true(y == year && m == month && d == day);
        assert_true(kal_days_from_civil(year, month, day) == days);
        if (++day > month_days(year, month)) {
            day = 1;
            month = month % 12 + 1;
            year += month == 1;
        }
    }
    year = 1970;
    month = 1;
    day = 1;
    for (int64_t days = 0; year > -600; days--) { /* through year 0 and below */
        int64_t y;
        unsigned m;
        unsigned d;
        kal_civil_from_days(days, &y, &m, &d);
        assert_true(y == year && m == month && d == day);
        assert_true(kal_days_from_civil(year, month, day) == days);
        if (--day == 0) {
            month = month == 1 ? 12 : month - 1;
            year -= month == 12;
            day = month_days(year, month);
        }
    }
}

/* All of DATE's range, in steps: days -> civil -> days, and the same as libc's gmtime. */
static void test_calendar_wide(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 50000; i++) {
        int64_t days = random_i64_between(&f->rng, TEST_DATE_MIN, TEST_DATE_MAX);
        int64_t y;
        unsigned m;
        unsigned d;
        struct tm tm;
        time_t seconds = (time_t)(days * 86400);
        kal_civil_from_days(days, &y, &m, &d);
        assert_true(kal_days_from_civil(y, m, d) == days);
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_true(y == (int64_t)tm.tm_year + 1900);
        assert_int_equal(m, tm.tm_mon + 1);
        assert_int_equal(d, tm.tm_mday);
    }
}

/* Texts and the values they are, by tables; a minus infinity is written as such. */
static void test_dates(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *in;
        int64_t days;
        const char *out;
    } TABLE[] = {
        {"1970-01-01", 0, "1970-01-01"},
        {"0001-01-01", TEST_YEAR_1_DAYS, "0001-01-01"},
        {"9999-12-31", TEST_YEAR_9999_DAYS, "9999-12-31"},
        {"10000-01-01", TEST_YEAR_9999_DAYS + 1, "10000-01-01"},
        {"0001-12-31 (BC)", TEST_YEAR_1_DAYS - 1, "0001-12-31 (BC)"},
        {"0000-12-31", TEST_YEAR_1_DAYS - 1, "0001-12-31 (BC)"},
        {"-1-12-31", TEST_YEAR_1_DAYS - 366 - 1, "0002-12-31 (BC)"},
        {"5881580-07-10", TEST_DATE_MAX, "5881580-07-10"},
        {"5877642-06-25 (BC)", TEST_DATE_MIN, "5877642-06-25 (BC)"},
        {" 2024/2/29", 19782, "2024-02-29"},
        {"2024-02-29T10:00", 19782, "2024-02-29"},
        {"epoch", 0, "1970-01-01"},
        {"infinity", INT32_MAX, "infinity"},
        {"-inf", -INT32_MAX, "-infinity"},
    };
    static const char *const REFUSED[] = {
        "",
        "2024",
        "2024-02",
        "2024-13-01",
        "2024-00-01",
        "2024-02-30",
        "2023-02-29",
        "1900-02-29",
        "2024-2/29",
        "2024-02-291",
        "x",
        "5881580-07-11",
        "5877642-06-24 (BC)",
        "99999999999-01-01",
        "0000-01-01 (BC)",
        "-1-01-01 (BC)",
        "infinit",
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_value v = value_of(f, type_of("DATE"), TABLE[i].in);
        if (v.integer != TABLE[i].days)
            fail_msg("'%s': %" PRId64, TABLE[i].in, v.integer);
        assert_string_equal(text_of(f, &v), TABLE[i].out);
    }
    for (size_t i = 0; i < KAL_ARRAY_LEN(REFUSED); i++) {
        int64_t days;
        if (kal_date_parse(kal_cstr(REFUSED[i]), &days) == KAL_PARSE_OK)
            fail_msg("'%s' is taken for day %" PRId64, REFUSED[i], days);
    }
}

static void test_times(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *in;
        int64_t micros;
        const char *out;
    } TABLE[] = {
        {"00:00:00", 0, "00:00:00"},
        {"23:59:59.999999", TEST_US_PER_DAY - 1, "23:59:59.999999"},
        {"24:00:00", TEST_US_PER_DAY, "24:00:00"},
        {"1:2", 3720000000, "01:02:00"},
        {"13:14:15.5", 47655500000, "13:14:15.5"},
        {"13:14:15.0000019", 47655000001, "13:14:15.000001"},
        {"2024-02-29 13:14:15", 47655000000, "13:14:15"},
    };
    static const char *const REFUSED[] = {"",         "24:00:00.000001", "25:00:00",
                                          "12:60:00", "12:00:60",        "noon",
                                          "12",       "-1:00:00",        "9999999999:00:00"};
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_value v = value_of(f, type_of("TIME"), TABLE[i].in);
        if (v.integer != TABLE[i].micros)
            fail_msg("'%s': %" PRId64, TABLE[i].in, v.integer);
        assert_string_equal(text_of(f, &v), TABLE[i].out);
    }
    for (size_t i = 0; i < KAL_ARRAY_LEN(REFUSED); i++) {
        int64_t micros;
        if (kal_time_parse(kal_cstr(REFUSED[i]), &micros) == KAL_PARSE_OK)
            fail_msg("'%s' is taken for %" PRId64, REFUSED[i], micros);
    }
}

/* TIMESTAMP drops an offset, DATETIME subtracts it. */
static void test_instants(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *in;
        int64_t plain, utc;
    } TABLE[] = {
        {"1970-01-01", 0, 0},
        {"1970-01-01T00:00:01Z", 1000000, 1000000},
        {"1970-01-01 02:00:00+02:00", 7200000000, 0},
        {"1970-01-01 00:00:00-0130", 0, 5400000000},
        {"1970-01-01 00:00:00+01:02:03", 0, -3723000000},
        {"1970-01-01 00:00:00 UTC", 0, 0},
        {"1969-12-31 23:59:59.999999", -1, -1},
        {"1970-01-01 24:00:00", TEST_US_PER_DAY, TEST_US_PER_DAY},
        {"294247-01-10 04:00:54.775806", TEST_TIMESTAMP_MAX, TEST_TIMESTAMP_MAX},
        {"290309-12-22 (BC) 00:00:00", TEST_TIMESTAMP_MIN, TEST_TIMESTAMP_MIN},
        {"infinity", INT64_MAX, INT64_MAX},
        {"-infinity", -INT64_MAX, -INT64_MAX},
    };
    static const struct {
        const char *in;
        kal_parse parsed;
    } REFUSED[] = {
        {"", KAL_PARSE_FORMAT},
        {"now", KAL_PARSE_FORMAT},
        {"2024-02-30 00:00:00", KAL_PARSE_RANGE},
        {"294247-01-10 04:00:54.775807", KAL_PARSE_RANGE},
        {"290309-12-21 (BC) 00:00:00", KAL_PARSE_RANGE},
        {"2024-01-01 00:00:00 CET", KAL_PARSE_ZONE},
        {"2024-01-01 00:00:00CET", KAL_PARSE_ZONE},
        {"2024-01-01 25:00:00", KAL_PARSE_RANGE},
        {"2024-01-01 00:00:00Zx", KAL_PARSE_FORMAT},
        {"2024-01-01 10", KAL_PARSE_FORMAT},
    };
    for (size_t i = 0; i < KAL_ARRAY_LEN(TABLE); i++) {
        kal_value plain = value_of(f, type_of("TIMESTAMP"), TABLE[i].in);
        kal_value utc = value_of(f, type_of("DATETIME"), TABLE[i].in);
        if (plain.integer != TABLE[i].plain || utc.integer != TABLE[i].utc)
            fail_msg("'%s': %" PRId64 " and %" PRId64, TABLE[i].in, plain.integer, utc.integer);
    }
    for (size_t i = 0; i < KAL_ARRAY_LEN(REFUSED); i++) {
        int64_t micros;
        kal_parse parsed = kal_instant_parse(kal_cstr(REFUSED[i].in), true, &micros);
        if (parsed != REFUSED[i].parsed)
            fail_msg("'%s': %d", REFUSED[i].in, parsed);
    }
}

/* Times print as strftime does, for the years it knows four digits of. */
static void test_against_libc(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 20000; i++) {
        int64_t micros = (int64_t)kal_rng_below(&f->rng, (uint64_t)(2932896 + 719162) *
                                                             (uint64_t)TEST_US_PER_DAY) +
                         TEST_YEAR_1_DAYS * TEST_US_PER_DAY;
        int64_t days = kal_date_from_instant(micros);
        int64_t in_day = kal_time_from_instant(micros);
        time_t seconds = (time_t)(days * 86400 + in_day / 1000000);
        char expected[64];
        struct tm tm;
        assert_true(in_day >= 0 && in_day < TEST_US_PER_DAY);
        assert_true(days * TEST_US_PER_DAY + in_day == micros);
        assert_non_null(gmtime_r(&seconds, &tm));
        snprintf(expected, sizeof expected, "%04d-%02d-%02d %02d:%02d:%02d.%06d", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                 (int)(in_day % 1000000));
        size_t len = strlen(expected); /* no idle zeros */
        while (expected[len - 1] == '0')
            len--;
        expected[expected[len - 1] == '.' ? len - 1 : len] = '\0';
        kal_buf_clear(&f->buf);
        kal_instant_format(micros, false, &f->buf);
        kal_buf_append_byte(&f->buf, '\0');
        assert_string_equal((const char *)f->buf.ptr, expected);
    }
}

/* DATE to an instant and back, over the whole range of days; beyond the instants it is refused. */
static void test_dates_as_instants(void **state)
{
    fixture *f = *state;
    for (unsigned i = 0; i < 20000; i++) {
        int64_t days = random_i64_between(&f->rng, TEST_DATE_MIN, TEST_DATE_MAX);
        int64_t micros;
        kal_i128 exact = (kal_i128)days * TEST_US_PER_DAY;
        bool fits = exact >= TEST_TIMESTAMP_MIN && exact <= TEST_TIMESTAMP_MAX;
        assert_int_equal(kal_instant_from_date(days, &micros), fits);
        if (!fits)
            continue;
        assert_true(micros == (int64_t)exact);
        assert_true(kal_date_from_instant(micros) == days);
        assert_true(kal_date_from_instant(micros - 1) == days - 1 || micros == TEST_TIMESTAMP_MIN);
    }
    int64_t micros;
    assert_true(kal_instant_from_date(INT32_MAX, &micros));
    assert_true(micros == INT64_MAX);
    assert_true(kal_date_from_instant(-INT64_MAX) == -INT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_calendar_day_by_day),
        UNIT(test_calendar_wide),
        UNIT(test_dates),
        UNIT(test_times),
        UNIT(test_instants),
        UNIT(test_against_libc),
        UNIT(test_dates_as_instants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
