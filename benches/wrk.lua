-- What wrk sends and reports. The request comes from the environment: BENCH_METHOD, BENCH_BODY (a file), and
-- BENCH_HEADERS, a line "Name: value" each. Where the body has @UNIQUE@, each request has another text in its place.

local body = nil
local unique = false
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init()
  wrk.method = os.getenv("BENCH_METHOD")
  for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^:\n]+): ([^\n]*)") do
    wrk.headers[name] = value
  end
  local path = os.getenv("BENCH_BODY")
  if path ~= "" then
    local file = assert(io.open(path, "rb"))
    body = file:read("*a")
    file:close()
    unique = body:find("@UNIQUE@", 1, true) ~= nil
  end
  prefix = string.format("%d-%d-", os.time(), number)
  count = 0
  constant = wrk.format(nil, nil, nil, body)
end

function request()
  if not unique then
    return constant
  end
  count = count + 1
  return wrk.format(nil, nil, nil, (body:gsub("@UNIQUE@", prefix .. count)))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nBENCH {"requests":%d,"seconds":%.6f,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,'
      .. '"mean_ms":%.4f,"p50_ms":%.4f,"p90_ms":%.4f,"p99_ms":%.4f,"max_ms":%.4f}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout,
    latency.mean / 1e3, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3))
end
