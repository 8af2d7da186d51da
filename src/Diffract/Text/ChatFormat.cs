using System.Text.Json.Nodes;
using Diffract.Runs;

namespace Diffract.Text;

/// <summary>How chats are written out: by the checkpoint's own template (the default), as plain text, or in Gemma's format with other words.</summary>
public sealed record ChatFormat
{
    /// <summary>What a template sees as today when nothing else is asked for: what the templates of Llama 3 print where no date is given. The day of the run would make tokens depend on it.</summary>
    public static readonly DateOnly DefaultDate = new(2024, 7, 26);

    // "User: …" and "Assistant: …", joined by newlines, with one at the end.
    const string PlainSource = "{% for message in messages %}{{ message.role | capitalize ~ ': ' ~ message.content ~ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

    // The turn format of Gemma 2.
    const string CustomSource =
        "{{ bos_token }}{% for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        + "{{ start_token ~ (assistant_word if message.role == 'assistant' else user_word) ~ '\\n' ~ message.content | trim ~ end_token ~ '\\n' }}{% endfor %}"
        + "{% if add_generation_prompt %}{{ start_token ~ assistant_word ~ '\\n' }}{% endif %}";

    ChatFormat(string name, string? source) => (Name, Source) = (name, source);

    /// <summary>The checkpoint's own template.</summary>
    public static ChatFormat Own { get; } = new("template", null);

    /// <summary><c>User: …</c> and <c>Assistant: …</c>, a line each turn; for models without a template.</summary>
    public static ChatFormat Plain { get; } = new("plain", PlainSource);

    /// <summary>"template", "plain" or "custom".</summary>
    public string Name { get; }

    /// <summary>Day that a template may print.</summary>
    public DateOnly Date { get; init; } = DefaultDate;

    /// <summary>Gemma's words, or what takes their place: begins a turn, ends a turn, names the user, names the assistant.</summary>
    public IReadOnlyDictionary<string, string> Words { get; private init; } = new Dictionary<string, string>();

    /// <summary>A Jinja template; null: the checkpoint's own.</summary>
    internal string? Source { get; }

    /// <summary>Gemma's turn format with other words. That each is one token is checked by the encoder, which knows the tokens.</summary>
    public static ChatFormat Custom(string startToken = "<start_of_turn>", string endToken = "<end_of_turn>", string userWord = "user", string assistantWord = "model")
        => new("custom", CustomSource)
        {
            Words = new Dictionary<string, string> { ["start_token"] = startToken, ["end_token"] = endToken, ["user_word"] = userWord, ["assistant_word"] = assistantWord },
        };

    /// <summary>The format of these options; words are only for "custom".</summary>
    public static ChatFormat Of(string name, DateOnly? date, string? startToken, string? endToken, string? userWord, string? assistantWord)
    {
        bool words = (startToken ?? endToken ?? userWord ?? assistantWord) is not null;
        ChatFormat format = name switch
        {
            "custom" => Custom(startToken ?? "<start_of_turn>", endToken ?? "<end_of_turn>", userWord ?? "user", assistantWord ?? "model"),
            _ when words => throw DiffractException.Argument($"--start-token, --end-token, --user-word and --assistant-word replace the words of Gemma's format, but the format is {name}; wanted them with --chat-format custom"),
            "plain" => Plain,
            "template" => Own,
            _ => throw DiffractException.Argument($"--chat-format {name} is not known; wanted template, plain or custom"),
        };
        return date is { } day ? format with { Date = day } : format;
    }

    /// <summary>What a manifest records.</summary>
    public JsonObject Describe()
    {
        JsonObject described = new() { ["name"] = Name, ["date"] = Date.ToString("yyyy-MM-dd", System.Globalization.CultureInfo.InvariantCulture) };
        foreach ((string name, string word) in Words)
        {
            described[name] = word;
        }

        return described;
    }
}
