-- wrk: the manual's plain message, urlencoded, 4 KB of text
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["Authorization"] = os.getenv("BENCH_AUTH")
wrk.body = "from=Excited+User+%3Cme%40" .. os.getenv("BENCH_DOMAIN") ..
    "%3E&to=alex%40out.test&subject=Hello&text=" .. string.rep("x", 4000)

local threads = {}
function setup(thread)
    table.insert(threads, thread)
end
function init(args)
    accepted, refused = 0, 0
end
function response(status, headers, body)
    if status == 200 then accepted = accepted + 1 else refused = refused + 1 end
end
function done(summary, latency, requests)
    local ok, bad = 0, 0
    for _, t in ipairs(threads) do
        ok = ok + t:get("accepted")
        bad = bad + t:get("refused")
    end
    io.write(string.format("RESULT %d %d %.6f %d %d %d\n", ok, bad,
        summary.duration / 1e6, latency:percentile(50),
        latency:percentile(99), latency.max))
end
