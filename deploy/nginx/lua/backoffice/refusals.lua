-- The answers this door gives in its own name: the same words, statuses and bodies at
-- every door, empty and uniform for every kind of dead session.

local header, log, exit = ngx.header, ngx.log, ngx.exit

local _M = {}
local answers, gate_header

function _M.start(rules)
    answers, gate_header = rules.refusals, rules.gate.header
end

function _M.answer(word, route)
    local refusal = answers[word]
    if word ~= "no-session" and word ~= "no-route" and word ~= "no-method" then
        log(ngx.WARN, "gate_refused word=", word)
    end
    ngx.status = refusal.status
    header[gate_header] = word
    header["Content-Length"] = #refusal.body
    if word == "no-session" then
        -- No browser knows this scheme, so none opens its password window.
        header["WWW-Authenticate"] = 'Session realm="backoffice"'
        ngx.send_headers()
    else
        header["Content-Type"] = "application/problem+json"
        if word == "store-down" then header["Retry-After"] = "1" end
        if word == "no-method" and route then header["Allow"] = route.allow end
        ngx.print(refusal.body)
    end
    return exit(refusal.status)
end

-- No refusal, but an answer of ours as well: the last hop answers for itself.
function _M.last_hop(route)
    ngx.status = 204
    header["Allow"] = route.allow
    ngx.send_headers()
    return exit(204)
end

return _M
