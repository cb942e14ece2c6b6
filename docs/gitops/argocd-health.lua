-- How Argo CD judges a BatchInferenceJob. Its Lua is that of 5.1 and opens neither `string` nor `math`.
local hs = {}
local status = obj.status or {}

local function find(kind)
  for _, condition in ipairs(status.conditions or {}) do
    if condition.type == kind then
      return condition
    end
  end
  return nil
end

local function find_true(kind)
  local condition = find(kind)
  if condition ~= nil and condition.status == "True" then
    return condition
  end
  return nil
end

local function explain(condition)
  if condition.message == nil or condition.message == "" then
    return condition.reason
  end
  return condition.reason .. ": " .. condition.message
end

-- That no server is needed is said of a job that writes its results, and is nothing that it waits for.
local function find_wait()
  for _, kind in ipairs({ "Validated", "ServersReady", "ResultsAvailable" }) do
    local condition = find(kind)
    if condition ~= nil and condition.status == "False" and condition.reason ~= "ServersNotNeeded" then
      return condition
    end
  end
  return nil
end

local observed = status.observedGeneration or -1
local failed = find_true("Failed")
local complete = find_true("Complete")
local suspended = find_true("Suspended")
local wait = find_wait()

if observed < 0 then
  hs.status = "Progressing"
  hs.message = "the operator has not taken up the job yet"
elseif observed < (obj.metadata.generation or 0) then
  hs.status = "Progressing"
  hs.message = "the operator has not seen the job's newest spec yet"
elseif failed ~= nil then
  hs.status = "Degraded"
  hs.message = explain(failed)
elseif complete ~= nil then
  hs.status = "Healthy"
  hs.message = explain(complete)
elseif suspended ~= nil then
  hs.status = "Suspended"
  hs.message = explain(suspended)
elseif wait ~= nil then
  hs.status = "Progressing"
  hs.message = explain(wait)
else
  hs.status = "Progressing"
  hs.message = "the job is under way"
end

return hs
