using Diffract.Formats.Jinja;
using Diffract.Runs;

namespace Diffract.Text;

/// <summary>
/// How a model's chats are written: its own Jinja template, or another <see cref="ChatFormat"/>. A rendering comes with what each stretch of it is, found by rendering: the template is run once on the chat
/// and once on a chat of the same shape whose texts are marks; what stands around the marks is the template's, and the two must agree character by character. Safe to use from many threads.
/// </summary>
public sealed class ChatTemplate
{
    // One chat is a page of text, and a template is run a dozen times to learn where its parts stand: less for each than a template run once may take.
    static readonly JinjaLimits Limits = new() { Steps = 5_000_000, Memory = 16L << 20 };

    readonly JinjaTemplate _template;
    readonly Dictionary<string, object?> _variables;
    readonly DateTime _now;
    readonly ChatSkeletons _skeletons;
    readonly ChatHead _head;

    ChatTemplate(string text, string source, string advice, TemplateFile file, IEnumerable<string> added, ChatFormat format)
    {
        _now = format.Date.ToDateTime(TimeOnly.MinValue);
        _variables = file.Tokens.ToDictionary(t => t.Key, t => (object?)t.Value);
        foreach ((string name, string word) in format.Words)
        {
            _variables[name] = word;
        }

        // What transformers passes whether or not it was given.
        _variables["tools"] = null;
        _variables["documents"] = null;
        try
        {
            _template = JinjaTemplate.Parse(text, Limits);
        }
        catch (JinjaException e)
        {
            throw new DiffractException($"{source} is not a chat template that can be read: {Says(e)}; {advice}", inner: e);
        }

        TemplateUnits units = new(file.Tokens.Values.Concat(added).Concat(format.Words.Values).Distinct());
        _skeletons = new ChatSkeletons(WrittenShape, units);
        TakesSpecialTokens = format.Name == ChatFormat.Plain.Name;
        _head = Head(units, TakesSpecialTokens ? "" : file.Tokens.GetValueOrDefault("bos_token", ""));
        if (_skeletons.Of("ua", false) is (null, { } reason) && _skeletons.Of("sua", false).Skeleton is null)
        {
            throw new DiffractException($"{source} cannot be used: a chat of one question and one answer {reason}; {advice}");
        }
    }

    /// <summary>The template of a checkpoint: <c>chat_template.jinja</c>, else <c>chat_template</c> of <c>tokenizer_config.json</c> (a string, or a list of named ones of which "default" is taken).</summary>
    /// <param name="folder">Checkpoint folder.</param>
    /// <param name="bosToken">Text of the BOS token where <c>tokenizer_config.json</c> names none.</param>
    /// <param name="format">How to write chats; null: as the checkpoint's template does.</param>
    /// <exception cref="DiffractException">There is no template, it is none, or a simple chat cannot be rendered or told apart.</exception>
    public static ChatTemplate Load(string folder, string? bosToken = null, ChatFormat? format = null)
    {
        format ??= ChatFormat.Own;
        TemplateFile file = format.Source is null ? TemplateFile.ReadAsTransformers(folder) : TemplateFile.ReadAsTransformers(folder) with { Text = format.Source, Source = $"the chat format {format.Name}" };
        if (bosToken is not null && !file.Tokens.ContainsKey("bos_token"))
        {
            file = file with { Tokens = new Dictionary<string, string>(file.Tokens) { ["bos_token"] = bosToken } };
        }

        return new ChatTemplate(file.Needed(folder), file.Source, "use --chat-format plain, give text alone, or mend the template", file, TemplateFile.AddedTokens(folder), format);
    }

    /// <summary>The file that holds a checkpoint's template, or null where it has none.</summary>
    public static string? FileOf(string folder) => TemplateFile.Read(folder) is { Text: not null } file ? file.Source : null;

    /// <summary>Whether the tokenizer puts its special tokens around the text, as it does for documents; a template writes them itself.</summary>
    public bool TakesSpecialTokens { get; }

    /// <summary>Reads chats of this template back; null where its turns do not stand in their order.</summary>
    internal ChatReader? Reader()
    {
        ChatSkeleton? plain = _skeletons.Of("uaua", false).Skeleton, system = _skeletons.Of("suaua", false).Skeleton;
        bool whole = plain is not null && plain.Slots.Select(s => s.Turn).SequenceEqual([0, 1, 2, 3]) && plain.Pieces.Take(3).All(p => p.Length > 0);
        return whole ? new ChatReader(plain!, system is not null && system.Slots.Select(s => s.Turn).SequenceEqual([0, 1, 2, 3, 4]) && system.Pieces[1].Length > 0 ? system : null) : null;
    }

    /// <summary>The chat as text with its spans.</summary>
    /// <exception cref="DiffractException">It cannot be rendered.</exception>
    public RenderedChat Render(IReadOnlyList<Turn> turns, bool addGenerationPrompt = false)
        => TryRender(turns, out string? fault, addGenerationPrompt) ?? throw new DiffractException($"the chat {fault}");

    /// <summary>The chat as text with its spans, or null where the template refuses it or where it cannot be told what each part is.</summary>
    /// <param name="turns">Roles user, assistant and system; what order they may have is the template's business.</param>
    /// <param name="fault">Why it is null, in words that follow "the chat".</param>
    /// <param name="addGenerationPrompt">Ask for the beginning of an answer at the end.</param>
    public RenderedChat? TryRender(IReadOnlyList<Turn> turns, out string? fault, bool addGenerationPrompt = false)
    {
        fault = Fault(turns);
        if (fault is not null)
        {
            return null;
        }

        (JinjaOutput? made, fault) = Written(ChatMessages.Of(turns), addGenerationPrompt);
        if (made is null)
        {
            return null;
        }

        foreach (string shape in Shapes(turns))
        {
            (ChatSkeleton? skeleton, string? reason) = _skeletons.Of(shape, addGenerationPrompt);
            if (skeleton?.Locate(made.Text, turns) is { } places)
            {
                fault = null;
                return new RenderedChat(made.Text, new ChatSpans(skeleton, places, _head, made).Make());
            }

            fault = reason ?? "cannot be masked: its template rewrites the text of some turn, so that it is not told where that stands";
        }

        return null;
    }

    static string? Fault(IReadOnlyList<Turn> turns)
    {
        for (int i = 0; i < turns.Count; i++)
        {
            if (turns[i].Role is not ("user" or "assistant" or "system"))
            {
                return $"has the role {turns[i].Role} in turn {i}, wanted user, assistant or system";
            }
        }

        return turns.Count == 0 ? "has no turns" : turns.Count > ChatMessages.MostTurns ? $"has {turns.Count} turns, wanted at most {ChatMessages.MostTurns}" : null;
    }

    /// <summary>The shapes under which a chat may be found again: with answers as they are, then with reasoning that stands inside them taken apart.</summary>
    static IEnumerable<string> Shapes(IReadOnlyList<Turn> turns)
    {
        yield return Shape(apart: false);
        if (turns.Any(t => t.Role == "assistant" && t.Reasoning is null && ReasoningText.Has(t.Content)))
        {
            yield return Shape(apart: true);
        }

        string Shape(bool apart) => string.Create(turns.Count, (turns, apart), static (shape, from) =>
        {
            for (int i = 0; i < shape.Length; i++)
            {
                Turn turn = from.turns[i];
                shape[i] = turn.Role == "user" ? 'u' : turn.Role == "system" ? 's' : turn.Reasoning is not null ? 'f' : from.apart && ReasoningText.Has(turn.Content) ? 'r' : 'a';
            }
        });
    }

    (string? Text, string? Reason) WrittenShape(string shape, bool prompt)
    {
        (JinjaOutput? made, string? fault) = Written(ChatMessages.OfShape(shape), prompt);
        return (made?.Text, fault);
    }

    (JinjaOutput? Made, string? Fault) Written(PyList messages, bool prompt)
    {
        Dictionary<string, object?> variables = new(_variables) { ["messages"] = messages, ["add_generation_prompt"] = prompt };
        try
        {
            return (_template.Render(variables, _now), null);
        }
        catch (JinjaException e)
        {
            return (null, $"cannot be rendered: its template says {Says(e)}");
        }
    }

    ChatHead Head(TemplateUnits units, string bos)
    {
        (ChatSkeleton? four, _) = _skeletons.Of("uaua", false);
        bool plain = four is not null && four.Slots.Select(s => s.Turn).SequenceEqual([0, 1, 2, 3]);
        return plain
            ? new ChatHead(units, bos, four!.Pieces[2][four.Tails[1]..], four.Pieces[1][..four.Tails[0]])
            : new ChatHead(units, bos, null, "");
    }

    /// <summary>What a template raised is its own sentence; what went wrong inside it has a kind.</summary>
    static string Says(JinjaException e)
    {
        string text = string.Join(' ', (e.Kind == "TemplateError" ? e.Message : e.Text).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        return '"' + (text.Length <= 200 ? text : text[..200] + "…") + '"';
    }
}
