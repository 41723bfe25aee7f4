-- describe.lua: DESCRIBE of one table.
dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "common.lua")
function request()
    return wrk.format(nil, nil, nil, '{"sql":"DESCRIBE TABLE bench.accounts"}')
end
