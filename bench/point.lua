-- point.lua: one row by its key, at random.
dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "common.lua")
local n = tonumber(os.getenv("BENCH_ROWS") or "100000")
function request()
    return wrk.format(nil, nil, nil,
        '{"sql":"SELECT abalance FROM bench.accounts WHERE aid = $1","params":[' .. math.random(1, n) .. "]}")
end
