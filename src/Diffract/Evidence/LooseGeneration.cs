using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;
using Diffract.Llms;
using Diffract.Runs;
using Diffract.Text;
using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>
/// A chat model's own greedy answers to the user turns of a chat file (spec 7.1): what the file's assistant said is replaced, turn by turn. Chats go side by side, each batch is written when it is done, and a stopped call goes on
/// after the last whole batch.
/// </summary>
public static class LooseGeneration
{
    const int DefaultContext = 1024;

    /// <summary>The line of a chat that got no answer: it holds its place until all are done.</summary>
    const string Left = "{\"fault\":";

    /// <param name="backend">Where kernels run.</param>
    /// <param name="progress">Who listens.</param>
    /// <param name="settings">What to do.</param>
    /// <param name="stop">Ctrl-C.</param>
    /// <exception cref="DiffractException">A file that holds no chats, a template that writes no turns, an unfinished file of other settings.</exception>
    public static void Run(IBackend backend, IProgressSink progress, GenerationSettings settings, CancellationToken stop)
    {
        LlmConfig config = LlmConfig.Load(settings.Model);
        int context = Check(settings, config);
        TextEncoder encoder = TextEncoder.Load(settings.Model, settings.ChatFormat);
        int[] ends = [.. config.EndIds.Concat(EndOfTurn(encoder)).Distinct()];
        IReadOnlyList<TextItem> items = [.. TextRows.ReadSound(settings.Chats, settings.Columns, TextKind.Either)];
        if (items.Count == 0 || items.FirstOrDefault(i => i.Turns is null) is not null)
        {
            throw new DiffractException($"{settings.Chats} holds {(items.Count == 0 ? "nothing" : $"a document in {items.First(i => i.Turns is null).Unit} {items.First(i => i.Turns is null).Line}")}; wanted chats");
        }

        using PartialLines partial = PartialLines.Open(settings.Out, Identity(settings, context, items), settings.Fresh);
        if (partial.Count > 0)
        {
            progress.Line($"generate: {partial.Count} of {items.Count} chats are there; going on after them");
        }

        using Llm llm = Llm.Load(settings.Model, backend, context);
        long tokens = 0;
        int skipped = 0, cut = 0;
        for (int first = partial.Count; first < items.Count; first += settings.Batch)
        {
            Chat[] chats = [.. items.Skip(first).Take(settings.Batch).Select(i => new Chat(i, settings.Turns ?? int.MaxValue))];
            tokens += Answer(llm, encoder, chats, ends, context, settings.MaxNewTokens, stop);
            foreach (Chat chat in chats)
            {
                if (chat.Answered == 0)
                {
                    progress.Warn($"{chat.Place}: the chat {chat.Fault}; it is left out");
                }

                skipped += chat.Answered == 0 ? 1 : 0;
                cut += chat.Truncated ? 1 : 0;
            }

            partial.Add([.. chats.Select(c => c.ToJson())]);
            progress.Report("generate", Math.Min(items.Count, first + chats.Length), items.Count, "chats", $"{tokens} tokens");
        }

        partial.Finish(line => !line.StartsWith(Left, StringComparison.Ordinal));
        progress.Done("generate", string.Create(CultureInfo.InvariantCulture, $"{items.Count} chats, {tokens:N0} new tokens, {cut} with an answer cut short, {skipped} left out; {settings.Out}"));
    }

    /// <summary>Answers every user turn of a batch, all chats' first ones together, then the second ones.</summary>
    static long Answer(Llm llm, TextEncoder encoder, Chat[] chats, int[] ends, int context, int most, CancellationToken stop)
    {
        long tokens = 0;
        while (true)
        {
            List<(Chat Chat, int[] Prompt)> open = [];
            foreach (Chat chat in chats)
            {
                if (chat.Next(encoder, context) is { } prompt)
                {
                    open.Add((chat, prompt));
                }
            }

            if (open.Count == 0)
            {
                return tokens;
            }

            // Those that the context leaves the same room go side by side: what a chat gets depends on no other.
            foreach (IGrouping<int, (Chat Chat, int[] Prompt)> same in open.GroupBy(o => Math.Min(most, context - o.Prompt.Length)))
            {
                (Chat Chat, int[] Prompt)[] together = [.. same];
                int[][] answers = llm.GreedyBatch([.. together.Select(o => o.Prompt)], same.Key, ends, stop);
                for (int i = 0; i < answers.Length; i++)
                {
                    int[] ids = answers[i];
                    bool ended = ends.Contains(ids[^1]);
                    together[i].Chat.Take(encoder.Tokenizer.Decode(ended ? ids.AsSpan(0, ids.Length - 1) : ids, skipSpecialTokens: true), ended);
                    tokens += ids.Length;
                }
            }
        }
    }

    static int Check(GenerationSettings settings, LlmConfig config)
    {
        if (settings.MaxNewTokens < 1 || settings.Batch < 1 || settings.Turns is < 1)
        {
            throw DiffractException.Argument($"--max-new-tokens {settings.MaxNewTokens} --batch {settings.Batch} --turns {settings.Turns} cannot be taken; wanted at least 1 of each");
        }

        return settings.Context is < 2 || settings.Context > config.ContextLimit
            ? throw DiffractException.Argument($"--context {settings.Context} is out of range; wanted 2 to {config.ContextLimit}, the most that the model can read")
            : settings.Context ?? Math.Min(DefaultContext, config.ContextLimit);
    }

    /// <summary>What a template writes behind an answer that a model ends its turn with: <c>&lt;end_of_turn&gt;</c>, <c>&lt;|im_end|&gt;</c>. None where it is text that may stand inside an answer.</summary>
    static int[] EndOfTurn(TextEncoder encoder)
    {
        EncodedText? chat = encoder.TryChat([new Turn("user", "a"), new Turn("assistant", "b")], out _);
        const byte End = (byte)(TokenRole.Assistant | TokenRole.Template);
        int at = chat is null ? -1 : Array.FindIndex(chat.Roles, r => (r & End) == End);
        return at >= 0 && encoder.Tokenizer.IsAdded(chat!.Ids[at]) ? [chat.Ids[at]] : [];
    }

    static JsonObject Identity(GenerationSettings settings, int context, IReadOnlyList<TextItem> items) => new()
    {
        ["model"] = AtomicFile.Seal(Path.Combine(settings.Model, "config.json")).Xxh128,
        ["chats"] = AtomicFile.Seal(settings.Chats).Xxh128,
        ["count"] = items.Count,
        ["columns"] = settings.Columns.Describe(),
        ["format"] = (settings.ChatFormat ?? ChatFormat.Own).Describe(),
        ["maxNewTokens"] = settings.MaxNewTokens,
        ["context"] = context,
        ["turns"] = settings.Turns,
    };

    /// <summary>A chat that is being answered.</summary>
    sealed class Chat(TextItem item, int turns)
    {
        readonly List<Turn> _written = [];
        int _read;

        /// <summary>Where it stands, for messages.</summary>
        public string Place => item.Place;

        /// <summary>User turns that have their answer.</summary>
        public int Answered { get; private set; }

        /// <summary>Why it gets no further answers; null while it may.</summary>
        public string? Fault { get; private set; }

        /// <summary>Whether an answer was cut short.</summary>
        public bool Truncated { get; private set; }

        /// <summary>The next prompt's ids, or null where nothing is left to answer.</summary>
        public int[]? Next(TextEncoder encoder, int context)
        {
            if (Fault is not null || Truncated || Answered >= turns)
            {
                return null;
            }

            int before = _written.Count;
            for (; _read < item.Turns!.Count; _read++)
            {
                Turn turn = item.Turns[_read];
                if (turn.Role != "assistant")
                {
                    _written.Add(turn);
                }

                if (turn.Role == "user")
                {
                    _read++;
                    break;
                }
            }

            if (_written.Count == before || _written[^1].Role != "user")
            {
                _written.RemoveRange(before, _written.Count - before);
                Fault = "has no user turn" + (Answered == 0 ? "" : " left");
                return null;
            }

            RenderedChat? rendered = encoder.Template.TryRender(_written, out string? fault, addGenerationPrompt: true);
            int[]? ids = rendered is null ? null : encoder.Tokenizer.Encode(rendered.Text, encoder.Template.TakesSpecialTokens).Ids;
            if (ids is null || ids.Length == 0 || ids.Length >= context)
            {
                _written.RemoveRange(before, _written.Count - before);
                Fault = ids is null ? fault : $"is {ids.Length} tokens long before its answer {Answered}, of {context}";
                return null;
            }

            return ids;
        }

        public void Take(string answer, bool ended)
        {
            _written.Add(new Turn("assistant", answer.Trim()));
            Answered++;
            Truncated = !ended;
        }

        public string ToJson()
        {
            if (Answered == 0)
            {
                return Left + JsonValue.Create(Fault)!.ToJsonString(Provenance.Line) + "}";
            }

            JsonObject line = new()
            {
                ["id"] = item.Id,
                ["turns"] = new JsonArray([.. _written.Select(t => (JsonNode)new JsonObject { ["role"] = t.Role, ["content"] = t.Content })]),
                ["truncated"] = Truncated,
            };
            if (item.Labels.Count > 0)
            {
                line["label"] = new JsonArray([.. item.Labels.Select(l => (JsonNode)l)]);
            }

            return line.ToJsonString(Provenance.Line);
        }
    }
}
