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
    public static TextEncoder Load(string modelFolder)
    {
        Tokenizer tokenizer = Tokenizer.Load(modelFolder);
        return new TextEncoder(tokenizer, () => ChatTemplate.Load(modelFolder, tokenizer.BosId is { } bos ? tokenizer.TokenText(bos) : null));
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

        return new EncodedText(ids, offsets, roles, new byte[ids.Length], turns);
    }

    public EncodedText Chat(IReadOnlyList<Turn> chat, int context = int.MaxValue)
    {
        RenderedChat rendered = Template.Render(chat);
        (int[] ids, (int Start, int End)[] offsets) = Cut(tokenizer.Encode(rendered.Text, addSpecialTokens: false), context);
        byte[] roles = new byte[ids.Length], turns = new byte[ids.Length], blocks = new byte[ids.Length];
        Array.Fill(turns, NoTurn);
        int at = 0;
        foreach (TextSpan span in rendered.Spans)
        {
            at = Mark(span, offsets, roles, turns, at);
        }

        if (ids.Length > 0 && ids[0] == tokenizer.BosId && roles[0] == 0)
        {
            roles[0] = (byte)TokenRole.Bos;
        }

        for (int i = 0; i < ids.Length; i++)
        {
            bool inside = (roles[i] & (byte)TokenRole.Template) != 0;
            blocks[i] = inside ? (byte)Math.Min(255, 1 + (i > 0 ? blocks[i - 1] : 0)) : (byte)0;
        }

        return new EncodedText(ids, offsets, roles, blocks, turns);
    }

    /// <summary>Marks a span's tokens and returns where the next span can begin to look; spans come in the order of their starts.</summary>
    static int Mark(TextSpan span, (int Start, int End)[] offsets, byte[] roles, byte[] turns, int from)
    {
        if (span.End == span.Start)
        {
            return from;
        }

        byte role = (byte)(span.Part switch
        {
            SpanPart.Template => TokenRole.Template,
            SpanPart.User => TokenRole.User,
            _ => TokenRole.Assistant,
        });
        int first = from;
        while (first < offsets.Length && offsets[first].End <= span.Start)
        {
            first++;
        }

        for (int i = first; i < offsets.Length && offsets[i].Start < span.End; i++)
        {
            roles[i] |= role;
            turns[i] = turns[i] == NoTurn ? (byte)Math.Min(span.Turn, NoTurn - 1) : turns[i];
        }

        return first;
    }

    static (int[] Ids, (int Start, int End)[] Offsets) Cut(Encoding encoding, int context)
        => encoding.Ids.Length <= context ? (encoding.Ids, encoding.Offsets) : (encoding.Ids[..context], encoding.Offsets[..context]);

    /// <summary>Writes a line of ids, offsets and roles for each line of a file, in order.</summary>
    /// <param name="modelFolder">Holds <c>tokenizer.json</c>, and a chat template when a line has turns.</param>
    /// <param name="file">JSON lines with text or turns.</param>
    /// <param name="output">File to write.</param>
    /// <param name="stop">Stops between lines; nothing is left then.</param>
    /// <returns>Lines and tokens written.</returns>
    public static (int Lines, long Tokens) EncodeFile(string modelFolder, string file, string output, CancellationToken stop = default)
    {
        TextEncoder encoder = Load(modelFolder);
        IEnumerable<TextItem> items = JsonLines.Read(file);
        (int lines, long tokens) = (0, 0);
        AtomicFile.Write(output, stream =>
        {
            using StreamWriter writer = new(stream, new System.Text.UTF8Encoding(false), 1 << 16, leaveOpen: true) { NewLine = "\n" };
            foreach (TextItem item in items)
            {
                stop.ThrowIfCancellationRequested();
                if (item.Turns is not null && ChatTemplate.Fault(item.Turns) is { } fault)
                {
                    throw new DiffractException($"{file} line {item.Line} {fault}");
                }

                EncodedText encoded = encoder.Encode(item);
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
