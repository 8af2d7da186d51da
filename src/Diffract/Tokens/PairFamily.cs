using System.Text.Json;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tokens;

/// <summary>
/// What is taken for granted about a pair unless the user says otherwise (spec 1.3). A family is recognised by what a checkpoint holds, never by the name of its folder: the model type of its
/// <c>config.json</c>, its vocabulary, the text of its chat template.
/// </summary>
public static class PairFamily
{
    const int LlamaSystemBlock = 25, QwenSystemBlock = 21;
    const string QwenSystem = "You are Qwen, created by Alibaba Cloud";

    /// <summary>
    /// Positions at the beginning of each document that are not stored: BOS and the system block that the template writes before every chat. 25 for Llama 3.x (model type llama with the token
    /// &lt;|start_header_id|&gt;), 21 for Qwen2.5 (model type qwen2 with its default system message in the template), else 0: Gemma's BOS is kept.
    /// </summary>
    public static int SkipFirst(string chatModel, Func<Tokenizer> tokenizer) => ModelType(chatModel) switch
    {
        "llama" when tokenizer().IdOf("<|start_header_id|>") is not null => LlamaSystemBlock,
        "qwen2" when TemplateHolds(chatModel, QwenSystem) => QwenSystemBlock,
        _ => 0,
    };

    /// <summary>
    /// What the base model reads in place of the chat template's tokens. Llama 3.x bases handle them badly: where base and chat model are of model type llama, the tokenizer has the three at the ids of
    /// Llama 3.1 and 3.2, and the base model has no chat template of its own (it was never taught them), they become ordinary ids. Others read what the chat model reads.
    /// </summary>
    public static ReplacementMap Replacement(string baseModel, string chatModel, Func<Tokenizer> tokenizer)
        => ModelType(baseModel) == "llama" && ModelType(chatModel) == "llama" && !HasTemplate(baseModel)
            && LlamaTokens.All(t => tokenizer().IdOf(t.Token) == t.Id)
            ? new ReplacementMap(LlamaTokens.Select(t => KeyValuePair.Create(t.Id, t.Replacement)))
            : ReplacementMap.None;

    static readonly (string Token, int Id, int Replacement)[] LlamaTokens =
        [("<|start_header_id|>", 128006, 1432), ("<|end_header_id|>", 128007, 827), ("<|eot_id|>", 128009, 827)];

    static bool HasTemplate(string folder)
        => File.Exists(Path.Combine(folder, "chat_template.jinja")) || TemplateHolds(folder, "\"chat_template\"");

    static string ModelType(string folder)
    {
        string file = CheckpointFiles.Config(folder);
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(file));
            return document.RootElement.TryGetProperty("model_type", out JsonElement type) ? type.GetString() ?? "" : "";
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new DiffractException($"{file} is not a model configuration ({e.Message}); fetch it again", inner: e);
        }
    }

    static bool TemplateHolds(string folder, string text)
        => ((string[])["chat_template.jinja", "tokenizer_config.json"]).Select(f => Path.Combine(folder, f))
            .Any(f => File.Exists(f) && File.ReadAllText(f).Contains(text, StringComparison.Ordinal));
}
