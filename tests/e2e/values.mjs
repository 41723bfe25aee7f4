// values.mjs: values of every type, its ends and what is easily lost among them.

// type, and as JSON parameters: values
export const TYPES = [
    ["BOOLEAN", true, false],
    ["SMALLINT", -32768, 32767],
    ["INT", -2147483648, 2147483647],
    ["BIGINT", "-9223372036854775808", "9223372036854775807"],
    ["FLOAT", "-0.0", "NaN", 3.4028235e38, 1e-45, "-Infinity"],
    ["DOUBLE", "-0.0", "NaN", 1.7976931348623157e308, 5e-324, "Infinity"],
    ["DECIMAL(4,2)", "-99.99", "0.01"],
    ["DECIMAL(18,0)", "-999999999999999999", "0"],
    ["DECIMAL(38,10)", "9999999999999999999999999999.9999999999", "-0.0000000001"],
    ["TEXT", "", "日本語 Zürich 🎉 \"'\\ \u0001"],
    ["BYTES", "0x", "0x00ff10"],
    ["UUID", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"],
    ["DATE", "0001-01-01", "9999-12-31", "1969-12-31"],
    ["TIME", "00:00:00", "23:59:59.999999"],
    ["TIMESTAMP", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"],
    ["DATETIME", "2024-02-29T13:14:15.123456+02:00", "1969-12-31T23:59:59.999999Z"],
    ["JSON", { a: [1, 2.5, null, "ü"] }, []],
    ["EMBEDDING(3)", [0.1, -0, 3e38], [1, 2, 3]],
    ["FILE", { id: "f1", sub: "s", name: "ü.bin", size: 3, mime: "text/plain", sha256: "00" }],
];
