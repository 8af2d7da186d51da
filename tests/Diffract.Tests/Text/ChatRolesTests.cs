using System.Text.Json;
using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Tests.Text;

/// <summary>
/// What each stretch of a chat is under templates of the shapes that families have. Templates are small ones of our own; the expected pieces are worked by hand: a letter (b BOS, t template, u user,
/// a assistant, s system) with the turn, then the text.
/// </summary>
public sealed class ChatRolesTests
{
    const string ChatMl = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    const string Qwen25 = "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\nYou are Q, a helpful assistant.<|im_end|>\n' }}{%- endif %}" + ChatMl;

    const string Llama3 = """
        {{- bos_token }}
        {%- if not date_string is defined %}
            {%- if strftime_now is defined %}
                {%- set date_string = strftime_now("%d %b %Y") %}
            {%- endif %}
        {%- endif %}
        {%- if messages[0].role == 'system' %}
            {%- set system = messages[0].content | trim %}
            {%- set messages = messages[1:] %}
        {%- else %}
            {%- set system = '' %}
        {%- endif %}
        {{- '<|start_header_id|>system<|end_header_id|>\n\n' }}
        {%- if tools is not none %}{{- 'Environment: ipython\n' }}{%- endif %}
        {{- 'Cutting Knowledge Date: December 2023\nToday Date: ' + date_string + '\n\n' + system + '<|eot_id|>' }}
        {%- for m in messages %}
            {{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}
        """;

    const string Llama2 = "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}"
        + "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}{% set text = (system if loop.index0 == 0 else '') + m.content %}"
        + "{% if m.role == 'user' %}{{ bos_token + '[INST] ' + text.strip() + ' [/INST]' }}{% else %}{{ ' ' + text.strip() + ' ' + eos_token }}{% endif %}{% endfor %}";

    // The system text goes to the last question, as in later Mistral templates.
    const string Mistral = "{%- if messages[0].role == 'system' %}{%- set system = messages[0].content %}{%- set rest = messages[1:] %}{%- else %}{%- set rest = messages %}{%- endif %}{{- bos_token }}"
        + "{%- for m in rest %}{%- if m.role == 'user' %}{%- if loop.last and system is defined %}{{- '[INST] ' + system + '\n\n' + m.content + '[/INST]' }}{%- else %}{{- '[INST] ' + m.content + '[/INST]' }}{%- endif %}"
        + "{%- elif m.role == 'assistant' %}{{- ' ' + m.content | trim + eos_token }}{%- else %}{{- raise_exception('Only user and assistant roles are supported') }}{%- endif %}{%- endfor %}";

    const string Phi3 = "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}";

    const string Olmo2 = "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|>\n' + m.content + eos_token }}{% if not loop.last %}{{ '\n' }}{% endif %}{% else %}{{ '<|' + m.role + '|>\n' + m.content + '\n' }}{% endif %}"
        + "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}";

    const string Gemma3 = "{{ bos_token }}{%- if messages[0].role == 'system' -%}{%- set first = messages[0].content + '\n\n' -%}{%- set rest = messages[1:] -%}{%- else -%}{%- set first = '' -%}{%- set rest = messages -%}{%- endif -%}"
        + "{%- for m in rest -%}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + (first if loop.first else '') }}{{ m.content | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}"
        + "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}";

    const string Vicuna = "{{ bos_token }}A chat between a user and an assistant. {% for m in messages %}{% if m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}{% else %}{{ 'ASSISTANT: ' + m.content + eos_token }}{% endif %}{% endfor %}";

    // An answer that ends the chat has another mark than one in the middle.
    const string TwoEnds = "{% for m in messages %}{{ '<|start|>' + m.role + '<|message|>' + m.content }}{{ '<|return|>' if loop.last and m.role == 'assistant' else '<|end|>' }}{% endfor %}";

    const string Blocks = "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|>\n' }}{% generation %}{{ m.content + eos_token + '\n' }}{% endgeneration %}{% else %}{{ '<|' + m.role + '|>\n' + m.content + '\n' }}{% endif %}{% endfor %}";

    const string MacroBlocks = "{% macro answer(text) %}{% generation %}{{ text + eos_token }}{% endgeneration %}{% endmacro %}{% for m in messages %}{{ '<|' + m.role + '|>\n' }}{% if m.role == 'assistant' %}{{ answer(m.content) }}{% else %}{{ m.content }}{% endif %}{{ '\n' }}{% endfor %}";

    static readonly string Reasoning = JsonDocument.Parse(File.ReadAllText(GoldenFiles.Path("chat_templates.json"))).RootElement.EnumerateArray().Single(t => t.GetProperty("name").GetString() == "reasoning-like").GetProperty("template").GetString()!;

    static readonly Turn[] Two = [new("user", "Hi 🙂"), new("assistant", "Yes.")];
    static readonly Turn[] Four = [.. Two, new("user", "So?"), new("assistant", "No!")];
    static readonly Turn[] WithSystem = [new("system", "Be brief."), .. Two];

    static ChatTemplate Template(string text, DateOnly? date = null)
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(Path.Combine(folder.Path, "chat_template.jinja"), text);
        folder.File("tokenizer_config.json", """{"bos_token": "<s>", "eos_token": {"content": "</s>"}}""");
        return ChatTemplate.Load(folder.Path, format: date is { } day ? ChatFormat.Own with { Date = day } : null);
    }

    static string[] Pieces(RenderedChat chat)
    {
        int[] points = [.. chat.Text.EnumerateRunes().Select(r => r.Value)];
        return [.. chat.Spans.Select(s => $"{char.ToLowerInvariant(s.Part.ToString()[0])}{(s.Turn < 0 ? "" : s.Turn)} {string.Concat(points[s.Start..s.End].Select(char.ConvertFromUtf32))}")];
    }

    static void Check(string template, Turn[] turns, bool prompt, params string[] pieces)
    {
        RenderedChat chat = Template(template).Render(turns, prompt);
        Assert.Equal(pieces, Pieces(chat));
    }

    [Fact]
    public void ChatMl_has_its_headers_and_ends_as_template()
        => Check(ChatMl, Two, prompt: true, "t0 <|im_start|>user\n", "u0 Hi 🙂", "t0 <|im_end|>\n", "t1 <|im_start|>assistant\n", "a1 Yes.<|im_end|>", "t1 <|im_end|>\n", "t2 <|im_start|>assistant\n");

    [Fact]
    public void A_default_system_block_is_system_text_of_no_turn()
    {
        Check(Qwen25, Two, prompt: false, "t <|im_start|>system\n", "s You are Q, a helpful assistant.", "t <|im_end|>\n", "t0 <|im_start|>user\n", "u0 Hi 🙂", "t0 <|im_end|>\n", "t1 <|im_start|>assistant\n", "a1 Yes.<|im_end|>", "t1 <|im_end|>\n");
        Check(Qwen25, WithSystem, prompt: false, "t0 <|im_start|>system\n", "s0 Be brief.", "t0 <|im_end|>\n", "t1 <|im_start|>user\n", "u1 Hi 🙂", "t1 <|im_end|>\n", "t2 <|im_start|>assistant\n", "a2 Yes.<|im_end|>", "t2 <|im_end|>\n");
    }

    [Fact]
    public void Llama_3_has_its_system_header_as_template_and_its_dates_as_system_text()
    {
        const string Dates = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";
        string[] rest = ["t0 <|start_header_id|>user<|end_header_id|>\n\n", "u0 Hi 🙂", "t0 <|eot_id|>", "t1 <|start_header_id|>assistant<|end_header_id|>\n\n", "a1 Yes.<|eot_id|>", "t1 <|eot_id|>"];
        Check(Llama3, Two, prompt: false, ["b <s>", "t <|start_header_id|>system<|end_header_id|>\n\n", "s " + Dates, "t <|eot_id|>", .. rest]);
        Check(
            Llama3,
            WithSystem,
            prompt: false,
            [
                "b <s>", "t0 <|start_header_id|>system<|end_header_id|>\n\n", "s0 " + Dates, "s0 Be brief.", "t0 <|eot_id|>",
                "t1 <|start_header_id|>user<|end_header_id|>\n\n", "u1 Hi 🙂", "t1 <|eot_id|>", "t2 <|start_header_id|>assistant<|end_header_id|>\n\n", "a2 Yes.<|eot_id|>", "t2 <|eot_id|>",
            ]);
        Assert.Contains("Today Date: 02 Jan 2026\n", Template(Llama3, new DateOnly(2026, 1, 2)).Render(Two).Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Llama_2_has_its_system_text_inside_the_first_question()
    {
        Check(
            Llama2,
            Four,
            prompt: false,
            "b <s>", "t0 [INST] ", "u0 Hi 🙂", "t0  [/INST]", "t1  ", "a1 Yes. </s>", "t1  </s>", "t2 <s>[INST] ", "u2 So?", "t2  [/INST]", "t3  ", "a3 No! </s>", "t3  </s>");
        Check(Llama2, WithSystem, prompt: false, "b <s>", "t0 [INST] <<SYS>>\n", "s0 Be brief.", "t1 \n<</SYS>>\n\n", "u1 Hi 🙂", "t1  [/INST]", "t2  ", "a2 Yes. </s>", "t2  </s>");
    }

    [Fact]
    public void Mistral_may_put_the_system_text_before_the_last_question()
        => Check(
            Mistral,
            [new("system", "Be brief."), .. Four[..3]],
            prompt: false,
            "b <s>", "t1 [INST] ", "u1 Hi 🙂", "t1 [/INST]", "t2  ", "a2 Yes.</s>", "t2 </s>", "t0 [INST] ", "s0 Be brief.", "t3 \n\n", "u3 So?", "t3 [/INST]");

    [Fact]
    public void Phi_3_ends_an_answer_by_its_first_token_although_another_ends_the_text()
        => Check(
            Phi3,
            Four,
            prompt: false,
            "t0 <|user|>\n", "u0 Hi 🙂", "t0 <|end|>\n", "t1 <|assistant|>\n", "a1 Yes.<|end|>", "t1 <|end|>\n", "t2 <|user|>\n", "u2 So?", "t2 <|end|>\n", "t3 <|assistant|>\n", "a3 No!<|end|>", "t3 <|end|>\n</s>");

    [Fact]
    public void Olmo_2_ends_answers_alone()
        => Check(
            Olmo2,
            [new("system", "Be brief."), .. Four],
            prompt: false,
            "b <s>", "t0 <|system|>\n", "s0 Be brief.", "t0 \n", "t1 <|user|>\n", "u1 Hi 🙂", "t1 \n", "t2 <|assistant|>\n", "a2 Yes.</s>", "t2 </s>", "t3 \n<|user|>\n", "u3 So?", "t3 \n", "t4 <|assistant|>\n", "a4 No!</s>", "t4 </s>");

    [Fact]
    public void Gemma_3_puts_the_system_text_before_the_first_question()
        => Check(
            Gemma3,
            WithSystem,
            prompt: true,
            "b <s>", "t0 <start_of_turn>user\n", "s0 Be brief.", "t1 \n\n", "u1 Hi 🙂", "t1 <end_of_turn>\n", "t2 <start_of_turn>model\n", "a2 Yes.<end_of_turn>", "t2 <end_of_turn>\n", "t3 <start_of_turn>model\n");

    [Fact]
    public void A_system_text_without_header_is_told_from_the_first_header()
        => Check(Vicuna, Two, prompt: false, "b <s>", "s A chat between a user and an assistant.", "t  ", "t0 USER: ", "u0 Hi 🙂", "t0  ", "t1 ASSISTANT: ", "a1 Yes.</s>", "t1 </s>");

    [Fact]
    public void Each_answer_has_the_end_that_stands_there()
        => Check(
            TwoEnds,
            Four,
            prompt: false,
            "t0 <|start|>user<|message|>", "u0 Hi 🙂", "t0 <|end|>", "t1 <|start|>assistant<|message|>", "a1 Yes.<|end|>", "t1 <|end|>", "t2 <|start|>user<|message|>", "u2 So?", "t2 <|end|>",
            "t3 <|start|>assistant<|message|>", "a3 No!<|return|>", "t3 <|return|>");

    [Fact]
    public void A_generation_block_says_what_is_generated()
        => Check(Blocks, Two, prompt: false, "t0 <|user|>\n", "u0 Hi 🙂", "t0 \n", "t1 <|assistant|>\n", "a1 Yes.</s>\n", "t1 </s>\n");

    [Fact]
    public void A_generation_block_inside_a_macro_does_not_shift_the_answer()
        => Check(MacroBlocks, Two, prompt: false, "t0 <|user|>\n", "u0 Hi 🙂", "t0 \n", "t1 <|assistant|>\n", "a1 Yes.</s>", "t1 </s>\n");

    [Fact]
    public void Reasoning_is_the_answer_s_as_far_as_it_is_rendered()
    {
        Turn thought = new("assistant", "<think>\nHm.\n</think>\n\nYes.");
        string[] question = ["t0 <|im_start|>user\n", "u0 Hi 🙂", "t0 <|im_end|>\n"];
        Check(Reasoning, [Two[0], thought], prompt: false, [.. question, "t1 <|im_start|>assistant\n", "a1 <think>\nHm.\n</think>\n\nYes.<|im_end|>", "t1 <|im_end|>\n"]);

        // Reasoning of earlier answers is dropped; an answer without any gets an empty block, which is the template's.
        Check(
            Reasoning,
            [Two[0], thought, .. Four[2..]],
            prompt: false,
            [
                .. question, "t1 <|im_start|>assistant\n", "a1 Yes.<|im_end|>", "t1 <|im_end|>\n", "t2 <|im_start|>user\n", "u2 So?", "t2 <|im_end|>\n",
                "t3 <|im_start|>assistant\n<think>\n\n</think>\n\n", "a3 No!<|im_end|>", "t3 <|im_end|>\n",
            ]);
    }

    [Fact]
    public void Reasoning_that_stands_apart_has_three_names()
    {
        const string Apart = "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.reasoning_content %}{{ '<think>' + m.thinking + '</think>' + m.reasoning[:0] }}{% endif %}{{ m.content + '<|end|>' }}{% endfor %}";
        Check(Apart, [Two[0], new("assistant", "Yes.") { Reasoning = "Hm." }], prompt: false, "t0 <|user|>", "u0 Hi 🙂", "t0 <|end|>", "t1 <|assistant|>", "a1 <think>Hm.</think>Yes.<|end|>", "t1 <|end|>");
    }

    [Fact]
    public void Tools_and_documents_are_there_and_None()
        => Assert.Equal("None None Hi Yes.", Template("{{ tools }} {{ documents }}{% for m in messages %} {{ m.content }}{% endfor %}").Render([new("user", "Hi"), Two[1]]).Text);

    [Fact]
    public void Plain_text_has_a_line_a_turn()
    {
        using TemporaryFolder folder = new();
        RenderedChat chat = ChatTemplate.Load(folder.Path, "<s>", ChatFormat.Plain).Render(WithSystem);
        Assert.Equal("System: Be brief.\nUser: Hi 🙂\nAssistant: Yes.\n", chat.Text);
        Assert.Equal(["t0 System: ", "s0 Be brief.", "t0 \n", "t1 User: ", "u1 Hi 🙂", "t1 \n", "t2 Assistant: ", "a2 Yes.", "t2 \n"], Pieces(chat));
    }

    [Theory]
    [InlineData("{% for m in messages %}{{ m.content | replace('i', '1') }};{% endfor %}", "rewrites the text of some turn")]
    [InlineData("{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('No system\nplease') }}{% endif %}{{ m.content }}{% endfor %}", "says \"No system please\"")]
    [InlineData("{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}", "leaves out the text of turn 0 (system)")]
    [InlineData("{% for m in messages %}{{ m.content }}{% if m.role == 'system' %}{{ m.content }}{% endif %}{% endfor %}", "writes a turn's text twice")]
    public void What_cannot_be_masked_says_why(string template, string why)
    {
        ChatTemplate made = Template(template);
        Assert.Null(made.TryRender(WithSystem, out string? fault));
        Assert.Contains(why, fault, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', fault!);
    }

    [Theory]
    [InlineData("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", "leaves out the text of turn 1 (assistant)")]
    [InlineData("{% include 'other' %}", "Unsupported: the tag 'include'")]
    [InlineData("{{ messages[0].content", "TemplateSyntaxError")]
    [InlineData("{{ nothing.there }}", "'nothing' is undefined")]
    public void A_template_that_cannot_write_a_simple_chat_is_refused(string template, string why)
    {
        DiffractException e = Assert.Throws<DiffractException>(() => Template(template));
        Assert.Contains(why, e.Message, StringComparison.Ordinal);
        Assert.Contains("--chat-format plain", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Roles_that_are_not_known_and_no_turns_are_named()
    {
        ChatTemplate template = Template(ChatMl);
        Assert.Null(template.TryRender([new("tool", "x")], out string? fault));
        Assert.Equal("has the role tool in turn 0, wanted user, assistant or system", fault);
        Assert.Null(template.TryRender([], out fault));
        Assert.Equal("has no turns", fault);
    }
}
