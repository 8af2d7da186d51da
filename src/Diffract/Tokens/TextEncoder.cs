using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>
/// Turns documents and chats into tokens with their roles. A chat is rendered by its template and tokenised without further special tokens; a span covers the tokens from the one that holds its
/// first character to the one that holds its last (spec 10.4). Safe to use from many threads.
/// </summary>
/// <param name="tokenizer">Text to ids.</param>
/// <param name="template">Loads the chat template when the first chat comes.</param>
public sealed class TextEncoder(Tokenizer tokenizer, Func<ChatTemplate> template)
{
    /// <summary>Turn of a token that belongs to none.</summary>
    public const byte NoTurn = 255;

    readonly Lazy<ChatTemplate> _template = new(template);

    /// <summary>The encoder of a checkpoint folder.</summary>
    /// <param name="modelFolder">Holds <c>tokenizer.json</c>, and a chat template where chats are to be written by it.</param>
    /// <param name="format">How chats are written; null: by the checkpoint's own template.</param>
    public static TextEncoder Load(string modelFolder, ChatFormat? format = null)
    {
        Tokenizer tokenizer = Tokenizer.Load(modelFolder);
        return new TextEncoder(tokenizer, () =>
        {
            if (format is not null)
            {
                CustomFormat.CheckWords(tokenizer, format);
            }

            return ChatTemplate.Load(modelFolder, tokenizer.BosId is { } bos ? tokenizer.TokenText(bos) : null, format);
        });
    }

    public Tokenizer Tokenizer => tokenizer;

    /// <summary>The chat template, read when it is first asked for.</summary>
    public ChatTemplate Template => _template.Value;

    /// <summary>Encodes a line, cut after <paramref name="context"/> tokens. A chat that the template cannot render throws.</summary>
    public EncodedText Encode(TextItem item, int context = int.MaxValue) => item.Turns is null ? Document(item.Text!, context) : Chat(item.Turns, context);

    public EncodedText Document(string text, int context = int.MaxValue)
    {
        (int[] ids, (int Start, int End)[] offsets) = Cut(tokenizer.Encode(text), context);
        byte[] roles = new byte[ids.Length], turns = new byte[ids.Length];
        Array.Fill(roles, (byte)TokenRole.Plain);
        Array.Fill(turns, NoTurn);
        for (int i = 0; i < ids.Length && offsets[i] == (0, 0); i++)
        {
            roles[i] = (byte)(ids[i] == tokenizer.BosId ? TokenRole.Bos : TokenRole.None);
        }

        return new EncodedText(ids, offsets, roles, new byte[ids.Length], turns) { Text = text };
    }

    /// <summary>Encodes a chat, cut after <paramref name="context"/> tokens.</summary>
    /// <exception cref="DiffractException">The template cannot render it, or not so that it is known what each part is.</exception>
    public EncodedText Chat(IReadOnlyList<Turn> chat, int context = int.MaxValue) => TryChat(chat, out string? fault, context) ?? throw new DiffractException($"the chat {fault}");

    /// <summary>Encodes a chat, or says in <paramref name="fault"/> why it cannot be, in words that follow "the chat".</summary>
    public EncodedText? TryChat(IReadOnlyList<Turn> chat, out string? fault, int context = int.MaxValue)
    {
        if (Template.TryRender(chat, out fault) is not { } rendered)
        {
            return null;
        }

        (int[] ids, (int Start, int End)[] offsets) = Cut(tokenizer.Encode(rendered.Text, Template.TakesSpecialTokens), context);
        ChatMarks marks = new(rendered, offsets);
        if (ids.Length > 0 && ids[0] == tokenizer.BosId && marks.Roles[0] == 0)
        {
            marks.Roles[0] = (byte)TokenRole.Bos;
        }

        byte[] blocks = new byte[ids.Length];
        for (int i = 0; i < ids.Length; i++)
        {
            bool inside = (marks.Roles[i] & (byte)TokenRole.Template) != 0;
            blocks[i] = inside ? (byte)Math.Min(255, 1 + (i > 0 ? blocks[i - 1] : 0)) : (byte)0;
        }

        return new EncodedText(ids, offsets, marks.Roles, blocks, marks.Turns) { Text = rendered.Text };
    }

    static (int[] Ids, (int Start, int End)[] Offsets) Cut(Encoding encoding, int context)
        => encoding.Ids.Length <= context ? (encoding.Ids, encoding.Offsets) : (encoding.Ids[..context], encoding.Offsets[..context]);

    /// <summary>Writes a line of ids, offsets and roles for each line of a file, in order.</summary>
    /// <param name="modelFolder">Holds <c>tokenizer.json</c>, and a chat template when a line has turns.</param>
    /// <param name="file">Rows with text or turns.</param>
    /// <param name="output">File to write.</param>
    /// <param name="format">How chats are written; null: by the checkpoint's own template.</param>
    /// <param name="columns">Which columns hold them; null: those of the defaults.</param>
    /// <param name="stop">Stops between lines; nothing is left then.</param>
    /// <returns>Lines and tokens written.</returns>
    public static (int Lines, long Tokens) EncodeFile(string modelFolder, string file, string output, ChatFormat? format = null, TextColumns? columns = null, CancellationToken stop = default)
    {
        TextEncoder encoder = Load(modelFolder, format);
        IEnumerable<TextItem> items = TextRows.ReadSound(file, columns ?? new TextColumns(), TextKind.Either);
        CustomFormat.Check(encoder, modelFolder, format, items);
        (int lines, long tokens) = (0, 0);
        AtomicFile.Write(output, stream =>
        {
            using StreamWriter writer = new(stream, new System.Text.UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
            foreach (TextItem item in items)
            {
                stop.ThrowIfCancellationRequested();
                string? fault = null;
                EncodedText encoded = (item.Turns is null ? encoder.Document(item.Text!) : encoder.TryChat(item.Turns, out fault)) ?? throw new DiffractException($"{item.Place} {fault}");
                writer.Write("{\"ids\": [");
                writer.Write(string.Join(", ", encoded.Ids));
                writer.Write("], \"offsets\": [");
                writer.Write(string.Join(", ", encoded.Offsets.Select(o => $"[{o.Start}, {o.End}]")));
                writer.Write("], \"roles\": [");
                writer.Write(string.Join(", ", encoded.Roles));
                writer.WriteLine("]}");
                lines++;
                tokens += encoded.Ids.Length;
            }
        });
        return (lines, tokens);
    }
}
