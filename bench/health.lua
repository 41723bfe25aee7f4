-- health.lua: GET /health.
dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "common.lua")
function request()
    return wrk.format("GET", "/health")
end
