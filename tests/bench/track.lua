-- wrk: tracking links of a file, "host path" a line, each its own host
local paths, n = {}, 0
local at = 0

local counter = 0
local threads = {}
function setup(thread)
    counter = counter + 1
    thread:set("first", counter)
    table.insert(threads, thread)
end
function init(args)
    good, bad = 0, 0
    want = tonumber(os.getenv("BENCH_STATUS"))
    for line in io.lines(os.getenv("BENCH_LINKS")) do
        local host, path = line:match("(%S+) (%S+)")
        n = n + 1
        paths[n] = "GET " .. path .. " HTTP/1.1\r\nHost: " .. host ..
            "\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; " ..
            "rv:121.0) Gecko/20100101 Firefox/121.0\r\n\r\n"
    end
    at = first * 4999
end
function request()
    at = at + 1
    return paths[at % n + 1]
end
function response(status, headers, body)
    if status == want then good = good + 1 else bad = bad + 1 end
end
function done(summary, latency, requests)
    local ok, wrong = 0, 0
    for _, t in ipairs(threads) do
        ok = ok + t:get("good")
        wrong = wrong + t:get("bad")
    end
    io.write(string.format("RESULT %d %d %.6f %d %d %d\n", ok, wrong,
        summary.duration / 1e6, latency:percentile(50),
        latency:percentile(99), latency.max))
end
