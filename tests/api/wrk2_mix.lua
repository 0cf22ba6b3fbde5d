-- The requests of DeathStarBench's published mix, in a script of our own: 60 % home reads, 30 % reads of one's own posts,
-- 10 % posts. Like the published scripts it hands wrk.format whole addresses, so the request line has one too, and sends
-- bodies as they are, without percent-encoding. Users are 0 .. USERS-1. At the end it prints one line of JSON.
local users = tonumber(os.getenv("USERS"))
local letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

local function some(length, from)
  local picked = {}
  for i = 1, length do
    local at = math.random(#from)
    picked[i] = from:sub(at, at)
  end
  return table.concat(picked)
end

local function user() return math.random(0, users - 1) end

local function address(path) return wrk.scheme .. "://" .. wrk.host .. ":" .. wrk.port .. "/wrk2-api/" .. path end

local function read(which)
  local start = math.random(0, 100)
  local query = "?user_id=" .. user() .. "&start=" .. start .. "&stop=" .. (start + 10)
  return wrk.format("GET", address(which .. "-timeline/read" .. query), {}, nil)
end

local function compose()
  local author, text, ids, types = user(), { some(256, letters) }, {}, {}
  for _ = 1, math.random(1, 6) do text[#text + 1] = "@username_" .. user() end
  for _ = 1, math.random(1, 6) do text[#text + 1] = "http://" .. some(64, letters) end
  for i = 1, math.random(1, 5) do ids[i], types[i] = '"' .. some(18, "123456789") .. '"', '"png"' end
  local body = "username=username_" .. author .. "&user_id=" .. author .. "&text=" .. table.concat(text, " ")
    .. "&media_ids=[" .. table.concat(ids, ",") .. "]&media_types=[" .. table.concat(types, ",") .. "]&post_type=0"
  return wrk.format("POST", address("post/compose"), { ["Content-Type"] = "application/x-www-form-urlencoded" }, body)
end

function request()
  local coin = math.random()
  if coin < 0.6 then return read("home") elseif coin < 0.9 then return read("user") else return compose() end
end

function done(summary)
  local e = summary.errors
  print(string.format('{"requests": %d, "refused": %d, "broken": %d}', summary.requests, e.status,
    e.connect + e.read + e.write + e.timeout))
end
