using System.Text.Json;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Tests.Tokens;

/// <summary>Roles of tokens with the tokenizers of several families, under small templates of our own in the families' shapes. Runs of one role flag are compared by their text.</summary>
public sealed class FamilyRolesTests
{
    const string Llama3 = "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}";
    const string ChatMl = "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nBe good.<|im_end|>\\n' }}{% endif %}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}";
    const string Llama2 = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content.strip() + ' [/INST]' }}{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}";

    static readonly Turn[] Chat = [new("user", "Hello there"), new("assistant", "Yes, 🙂.")];

    static (byte Role, string Text)[] Runs(string style, string template, string tokens, ChatFormat? format = null)
    {
        using TemporaryFolder folder = new();
        File.Copy(GoldenFiles.Path($"tokenizers/{style}/tokenizer.json"), Path.Combine(folder.Path, "tokenizer.json"));
        folder.File("tokenizer_config.json", $$"""{"chat_template": {{JsonSerializer.Serialize(template)}}{{tokens}}}""");
        TextEncoder encoder = TextEncoder.Load(folder.Path, format);
        EncodedText made = encoder.Chat(Chat);
        RenderedChat rendered = encoder.Template.Render(Chat);
        int[] points = [.. rendered.Text.EnumerateRunes().Select(r => r.Value)];
        List<(byte Role, string Text)> runs = [];
        int covered = 0;
        for (int i = 0; i < made.Ids.Length; i++)
        {
            (int start, int end) = made.Offsets[i];
            string text = start >= covered ? string.Concat(points[start..end].Select(char.ConvertFromUtf32)) : "";
            covered = Math.Max(covered, end);
            if (runs.Count > 0 && runs[^1].Role == made.Roles[i])
            {
                runs[^1] = (runs[^1].Role, runs[^1].Text + text);
            }
            else
            {
                runs.Add((made.Roles[i], text));
            }
        }

        return [.. runs.Select(r => (r.Role, r.Text.Trim(' ')))];
    }

    [Fact]
    public void Llama_3()
        => Assert.Equal(
            [(1, "<|begin_of_text|>"), (2, "<|start_header_id|>user<|end_header_id|>\n\n"), (4, "Hello there"), (2, "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"), (8, "Yes, 🙂."), (10, "<|eot_id|>")],
            Runs("llama3", Llama3, """, "bos_token": "<|begin_of_text|>" """));

    [Fact]
    public void Qwen_2()
        => Assert.Equal(
            [
                (2, "<|im_start|>system\n"), (32, "Be good."), (2, "<|im_end|>\n<|im_start|>user\n"), (4, "Hello there"), (2, "<|im_end|>\n<|im_start|>assistant\n"), (8, "Yes, 🙂."), (10, "<|im_end|>"),
                (2, "\n"),
            ],
            Runs("qwen2", ChatMl, ""));

    [Fact]
    public void Llama_2()
        => Assert.Equal([(1, "<s>"), (2, "[INST]"), (4, "Hello there"), (2, "[/INST]"), (8, "Yes, 🙂."), (10, "</s>")], Runs("llama2", Llama2, """, "bos_token": "<s>", "eos_token": "</s>" """));

    [Fact]
    public void Plain_with_a_base_model_s_tokenizer()
        => Assert.Equal([(2, "User:"), (4, "Hello there"), (2, "\nAssistant:"), (8, "Yes, 🙂."), (2, "\n")], Runs("gpt2", "", "", ChatFormat.Plain));
}
