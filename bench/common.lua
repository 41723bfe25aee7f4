-- common.lua: what the wrk scripts share: headers, and a line of JSON at the end.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("BENCH_TOKEN") or "")



function done(summary, latency)
    local failed = summary.errors.connect + summary.errors.read + summary.errors.write
        + summary.errors.status + summary.errors.timeout
    print(string.format('{"requests":%d,"failed":%d,"latency_ms":%.4f,"p99_ms":%.4f}', summary.requests, failed,
        latency.mean / 1000, latency:percentile(99) / 1000))
end
