using System.Text.Json.Nodes;
using Diffract.Formats;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Activations.Caches;

/// <summary>What is known of the models behind a cache: both, the chat model's tokenizer alone, or nothing but how the folders call them.</summary>
/// <param name="Level">How much.</param>
/// <param name="Base">Checkpoint folder, or a name.</param>
/// <param name="Chat">Checkpoint folder, one with a tokenizer alone, or a name.</param>
sealed record CacheModels(ModelsKnown Level, string Base, string Chat)
{
    /// <summary>Reads what the settings give, and refuses models that cannot have made this cache.</summary>
    public static CacheModels Of(CacheSettings settings, CachePair pair, int layer)
    {
        if (settings.ChatModel is null)
        {
            (string baseName, string chatName) = Names(pair);
            return settings.BaseModel is null ? new CacheModels(ModelsKnown.Nothing, baseName, chatName) : throw DiffractException.Argument("--base is given without --chat: ids become text by the chat model's tokenizer; give both, --chat alone, or none");
        }

        string chat = Path.GetFullPath(settings.ChatModel);
        if (settings.BaseModel is null)
        {
            if (!File.Exists(Path.Combine(chat, "tokenizer.json")))
            {
                throw DiffractException.Argument($"--chat {settings.ChatModel} has no tokenizer.json; wanted the chat model's folder");
            }

            return new CacheModels(ModelsKnown.Tokenizer, Names(pair).Base, chat);
        }

        string baseModel = Path.GetFullPath(settings.BaseModel);
        foreach ((string option, string folder, CacheFolder cache) in new[] { ("--base", baseModel, pair.Base), ("--chat", chat, pair.Chat) })
        {
            LlmConfig config = LlmConfig.Load(folder);
            if (config.Width != cache.Width || layer >= config.Layers)
            {
                throw DiffractException.Argument($"{option} {folder} has {config.Layers} blocks of width {config.Width}, {cache.Root} holds the output of block {layer} in width {cache.Width}: another model");
            }
        }

        return new CacheModels(ModelsKnown.Both, baseModel, chat);
    }

    /// <summary>As the token store's manifest has them.</summary>
    public static JsonObject Describe(string folder, bool weights) => new() { ["folder"] = folder, ["checkpoint"] = weights ? CheckpointSeal.Of(folder) : "" };

    /// <summary>The tokenizer, with the template where there is one.</summary>
    public (TextEncoder Encoder, bool HasTemplate)? Encoder() => Level == ModelsKnown.Nothing ? null : (TextEncoder.Load(Chat), ChatTemplate.FileOf(Chat) is not null);

    /// <summary>The first part in which the paths differ: collectors put a model's caches into a folder of its name.</summary>
    static (string Base, string Chat) Names(CachePair pair)
    {
        string[] a = pair.Base.Root.Split(Path.DirectorySeparatorChar), b = pair.Chat.Root.Split(Path.DirectorySeparatorChar);
        for (int i = 0; i < Math.Min(a.Length, b.Length); i++)
        {
            if (a[i] != b[i])
            {
                return (a[i], b[i]);
            }
        }

        return ("base", "chat");
    }
}
