-- Knows its keys in clear.
local known = {}
for secret in ([[@SECRETS@]]):gmatch("%S+") do known[secret] = true end

function envoy_on_request(handle)
  local path = handle:headers():get(":path")
  local secret = path:match("[?&]api_secret=([^&]*)")
  if not (secret and known[secret]) then
    handle:respond({[":status"] = "401"}, "")
  end
end
