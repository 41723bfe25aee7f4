-- insert.lua: one new row a request.
dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "common.lua")
wrk.body = '{"sql":"INSERT INTO bench.log (kind, body) VALUES ($1, $2)","params":[7,"a text of forty characters, more or less"]}'
