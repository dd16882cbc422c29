# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the tiny model's encoding is learned from: how people and haoya speak to each other."""

ENGLISH = """\
You are haoya, a friendly assistant who lives on the owner's own machine. Answer briefly and in the
language of the question. Use a tool where it helps, and say honestly what you do not know.
What time is it now? What is the weather like in Hangzhou tomorrow, and do I need an umbrella?
Please remind me at nine in the morning to call my mother, and again an hour later if I forget.
Could you look up the next train to Shanghai and send the departure times to our family group?
Remember that I am allergic to peanuts. What did I tell you about my brother's birthday?
Write a short message to the team: the meeting moves from Monday to Wednesday afternoon at three.
List the files in the folder reports, then read the newest one and tell me the three main points.
Translate this sentence into Chinese. Add seventeen and twenty-five, then divide the sum by six.
Of course, here is the answer. I have set a timer for ten minutes. The file has been written.
I could not find a note about that; shall I search the web, or would you rather tell me again?
Turn off the lights in the living room and start the washing machine when electricity is cheap.
How much money did we spend on food in September? The total was four hundred and twelve dollars.
Thank you very much! You are welcome. Good morning! Good night, sleep well. See you next week.
The quick answer is yes, because every message is stored before the next step is taken, and nothing
is lost when the power fails. The long answer takes a little more time, so let me explain it simply.
First the network delivers a message, then it is written down, then the model thinks about it, and
at last the words go back to the person who asked. Between these steps anything may break.
{"name": "remind", "arguments": {"text": "call my mother", "at": "2026-11-20T09:00:00+08:00"}}
{"name": "weather", "arguments": {"city": "Hangzhou", "days": 3, "unit": "celsius"}}
{"type": "object", "properties": {"path": {"type": "string", "description": "the file to read"},
"query": {"type": "string"}, "limit": {"type": "integer"}, "exact": {"type": "boolean"}},
"required": ["path", "query"], "enum": ["low", "high"], "items": {"type": "number"}}
# Tools You may call these functions. For each call write one line of JSON with name and arguments.
def add(a, b): return a + b for item in range(10): print(item) if value is None: raise ValueError
1. bread 2. milk 3. eggs - apples - rice 100% 3.14 12:30 https://example.org/page?id=42&lang=en
question number word story island river mountain window garden morning evening computer keyboard
quickly slowly carefully perhaps together without against through another something everything
"""

CHINESE = """\
你好，我是好呀，住在主人自己电脑里的助手。请用提问的语言简短回答，需要时使用工具，不知道就老实说不知道。
现在几点了？明天杭州天气怎么样，要不要带伞？请在早上九点提醒我给妈妈打电话，一个小时以后再提醒一次。
帮我查一下去上海的下一班火车，把出发时间发到家庭群里。请记住我对花生过敏。我跟你说过弟弟的生日是哪天吗？
给团队写一条消息：会议从星期一改到星期三下午三点。列出报告文件夹里的文件，读最新的一个，告诉我三个要点。
把这句话翻译成英文。十七加二十五，再除以六，等于多少？好的，答案在这里。已经设好十分钟的闹钟，文件也写好了。
我没有找到相关的笔记，要不要上网搜索，还是你再告诉我一遍？关掉客厅的灯，电费便宜的时候开洗衣机。
九月份我们吃饭花了多少钱？一共四百一十二元。非常感谢！不客气。早上好！晚安，睡个好觉。下周见。
简单地说是的，因为每条消息都先保存，再做下一步，断电也不会丢失。详细的解释需要一点时间，让我慢慢说明。
首先网络送来消息，然后写下来，模型想一想，最后把话送回给提问的人。中间任何一步都可能出错。
春天的花开了，夏天的雨很大，秋天的风很凉，冬天的雪很白。山上有树，河里有鱼，天上有云，城里有人。
今天学习新的知识，明天开始认真工作，生活就会越来越好。朋友们一起喝茶聊天，孩子们在公园里跑步唱歌。
"""

TEXT = ENGLISH + CHINESE
