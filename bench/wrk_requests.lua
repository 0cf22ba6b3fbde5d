-- Sends the requests of a file in turn (see bench/load_generator.py) and prints one line of JSON at the end.
local requests, at = {}, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local size = file:read("*l")
    if not size then break end
    requests[#requests + 1] = file:read(tonumber(size))
  end
  file:close()
  math.randomseed(os.time())
  at = math.random(#requests) - 1
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local e = summary.errors
  local seconds = summary.duration / 1e6
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "per_second": %.3f, "p50_us": %d, "p99_us": %d, "max_us": %d, "errors": %d}',
    summary.requests, seconds, summary.requests / seconds, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.status + e.timeout))
end
