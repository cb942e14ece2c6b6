-- For wrk: POSTs one row of 400 bytes, as the feeder sends it.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local before = '{"messages":[{"content":"'
local after = '","role":"user"}],"model":"org/model","max_tokens":64}'
wrk.body = before .. string.rep("quick fox ", 24) .. after
