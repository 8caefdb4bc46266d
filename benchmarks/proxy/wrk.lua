-- One line that a program can read. Without a file of cookies only done() is defined: it
-- costs no request anything.
init = function(args)
  if #args == 0 then return end
  local requests, at = {}, 0
  for cookie in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format(nil, nil, { Cookie = cookie })
  end
  request = function()
    at = at % #requests + 1
    return requests[at]
  end
end

done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "RESULT %d %d %d %d %.0f %.0f\n",
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
