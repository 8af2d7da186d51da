namespace Diffract.Formats.Jinja;

/// <summary>Tokens to statements, as jinja2's parser; expressions are in the other half.</summary>
sealed partial class Parser(List<Token> tokens, int maxDepth)
{
    readonly List<string[]> _ends = [];
    readonly List<string> _tags = [];

    // What each macro around the current place mentions.
    readonly List<HashSet<string>> _mentioned = [];
    int _at;
    int _depth;
    int _loops;

    // Inside an if, an unknown filter is an error only when it is reached.
    bool _soft;

    Token Current => tokens[Math.Min(_at, tokens.Count - 1)];

    Token Look => tokens[Math.Min(_at + 1, tokens.Count - 1)];

    public List<Statement> Template() => Body(null);

    Token Next() => tokens[Math.Min(_at++, tokens.Count - 1)];

    bool Skip(string kind) => Current.Kind == kind && Next().Kind == kind;

    bool SkipName(string name) => Current.Is(name) && Next().Is(name);

    Token Expect(string kind) => Current.Kind == kind ? Next()
        : Current.Kind == "eof" ? throw JinjaException.Syntax($"unexpected end of template, expected '{Token.Describe(kind)}'.")
        : throw JinjaException.Syntax($"expected token '{Token.Describe(kind)}', got {Printing.Quote(Current.Described)}");

    void ExpectName(string name)
    {
        if (!SkipName(name))
        {
            throw JinjaException.Syntax(Current.Kind == "eof" ? $"unexpected end of template, expected '{name}'." : $"expected token '{name}', got {Printing.Quote(Current.Described)}");
        }
    }

    void Deeper()
    {
        if (++_depth > maxDepth || !System.Runtime.CompilerServices.RuntimeHelpers.TryEnsureSufficientExecutionStack())
        {
            throw JinjaException.Limit($"the template nests deeper than {maxDepth}");
        }
    }

    List<Statement> Body(string[]? ends)
    {
        Deeper();
        List<Statement> body = [];
        if (ends is not null)
        {
            _ends.Add(ends);
        }

        while (Current.Kind != "eof")
        {
            if (Current.Kind == "data")
            {
                body.Add(new Data(Next().Text));
            }
            else if (Skip("variable_begin"))
            {
                body.Add(new Print(TupleOr(true, [])));
                Expect("variable_end");
            }
            else
            {
                Expect("block_begin");
                if (ends is not null && ends.Any(Current.Is))
                {
                    break;
                }

                body.Add(Tag());
                Expect("block_end");
            }
        }

        if (ends is not null)
        {
            _ends.RemoveAt(_ends.Count - 1);
        }

        _depth--;
        return body;
    }

    List<Statement> Block(params string[] ends)
    {
        Skip(":");
        Expect("block_end");
        List<Statement> body = Body(ends);
        return Current.Kind == "eof" ? throw Unclosed(null, [.. _ends, ends]) : body;
    }

    /// <summary>A body in which loops, ifs and, for a macro, loop controls begin anew.</summary>
    List<Statement> Inner(bool function, string end)
    {
        (bool soft, int loops) = (_soft, _loops);
        (_soft, _loops) = (false, function ? 0 : loops);
        List<Statement> body = Block(end);
        Next();
        (_soft, _loops) = (soft, loops);
        return body;
    }

    JinjaException Unclosed(string? name, List<string[]> ends)
    {
        string message = name is null ? "Unexpected end of template." : $"Encountered unknown tag '{name}'.";
        if (ends.Count > 0)
        {
            string looking = string.Join(" or ", ends[^1].Select(e => $"'{e}'"));
            message += name is not null && ends.Any(e => e.Contains(name))
                ? $" You probably made a nesting mistake. Jinja is expecting this tag, but currently looking for {looking}."
                : $" Jinja was looking for the following tags: {looking}.";
        }

        return JinjaException.Syntax(_tags.Count > 0 ? $"{message} The innermost block that needs to be closed is '{_tags[^1]}'." : message);
    }

    Statement Tag()
    {
        if (Current.Kind != "name")
        {
            throw JinjaException.Syntax("tag name expected");
        }

        string name = Current.Text;
        Func<Statement>? parse = name switch
        {
            "for" => For,
            "if" => If,
            "set" => Set,
            "macro" => Macro,
            "call" => Call,
            "filter" => FilterBlock,
            "with" => With,
            "print" => PrintTag,
            "generation" => Generation,
            "break" or "continue" => Control,
            "block" or "extends" or "include" or "import" or "from" or "autoescape" => throw JinjaException.Unsupported($"the tag '{name}'"),
            _ => null,
        };
        if (parse is null)
        {
            throw Unclosed(name, _ends);
        }

        _tags.Add(name);
        Next();
        Statement made = parse();
        _tags.RemoveAt(_tags.Count - 1);
        return made;
    }

    LoopControl Control()
    {
        bool leave = tokens[_at - 1].Text == "break";
        return _loops > 0 ? new LoopControl(leave ? Flow.Break : Flow.Continue) : throw new JinjaException("SyntaxError", leave ? "'break' outside loop" : "'continue' not properly in loop");
    }

    If If()
    {
        bool soft = _soft;
        _soft = true;
        List<(Expression Test, List<Statement> Body)> branches = [];
        List<Statement> otherwise = [];
        while (true)
        {
            Expression test = TupleOr(false, []);
            branches.Add((test, Block("elif", "else", "endif")));
            Token end = Next();
            if (end.Is("elif"))
            {
                continue;
            }

            if (end.Is("else"))
            {
                otherwise = Block("endif");
                Next();
            }

            break;
        }

        _soft = soft;
        return new If(branches, otherwise);
    }

    For For()
    {
        Target target = AssignTarget(false, "in");
        if (target.Names.Contains("loop"))
        {
            throw new JinjaException("TemplateAssertionError", "Can't assign to special loop variable in for-loop target");
        }

        ExpectName("in");
        Expression items = TupleOr(false, ["recursive"]);
        Expression? test = SkipName("if") ? Expression() : null;
        bool recursive = SkipName("recursive");
        (bool soft, int loops) = (_soft, _loops);
        (_soft, _loops) = (false, loops + 1);
        List<Statement> body = Block("endfor", "else"), otherwise = [];
        _loops = recursive ? 0 : loops;
        if (Next().Is("else"))
        {
            otherwise = Block("endfor");
            Next();
        }

        (_soft, _loops) = (soft, loops);
        return new For(target, items, test, recursive, body, otherwise);
    }

    Statement Set()
    {
        Target target = AssignTarget(true);
        if (Skip("="))
        {
            return new Assign(target, TupleOr(true, []));
        }

        Expression? filter = Filter(null, false);
        return new AssignBlock(target, filter, Inner(false, "endset"));
    }

    With With()
    {
        List<(Target Name, Expression Value)> values = [];
        while (Current.Kind != "block_end")
        {
            if (values.Count > 0)
            {
                Expect(",");
            }

            Target name = AssignTarget(false);
            Expect("=");
            values.Add((name, Expression()));
        }

        return new With(values, Inner(false, "endwith"));
    }

    PrintTag PrintTag()
    {
        List<Expression> parts = [];
        while (Current.Kind != "block_end")
        {
            if (parts.Count > 0)
            {
                Expect(",");
            }

            parts.Add(Expression());
        }

        return new PrintTag(parts);
    }

    FilterBlock FilterBlock()
    {
        Expression filter = Filter(null, true)!;
        return new FilterBlock(filter, Inner(false, "endfilter"));
    }

    Generation Generation() => new(Inner(true, "endgeneration"));

    MacroTag Macro()
    {
        string name = Expect("name").Text;
        return new MacroTag(name, Definition(name, true, "endmacro"));
    }

    CallBlock Call()
    {
        (List<string> names, List<Expression> defaults) = Current.Kind == "(" ? Signature() : ([], []);
        Expression call = Expression();
        return call is Call c ? new CallBlock(c, Definition(null, false, "endcall", names, defaults)) : throw JinjaException.Syntax("expected call");
    }

    MacroDefinition Definition(string? name, bool signature, string end, List<string>? names = null, List<Expression>? defaults = null)
    {
        if (signature)
        {
            (names, defaults) = Signature();
        }

        _mentioned.Add([]);
        List<Statement> body = Inner(true, end);
        HashSet<string> mentioned = _mentioned[^1];
        _mentioned.RemoveAt(_mentioned.Count - 1);
        return new MacroDefinition(name, names!, defaults!, body)
        {
            UsesCaller = mentioned.Contains("caller") && !names!.Contains("caller"),
            UsesKeywords = mentioned.Contains("kwargs") && !names!.Contains("kwargs"),
            UsesRest = mentioned.Contains("varargs") && !names!.Contains("varargs"),
        };
    }

    (List<string> Names, List<Expression> Defaults) Signature()
    {
        List<string> names = [];
        List<Expression> defaults = [];
        Expect("(");
        while (Current.Kind != ")")
        {
            if (names.Count > 0)
            {
                Expect(",");
            }

            names.Add(Expect("name").Text);
            if (Skip("="))
            {
                defaults.Add(Expression());
            }
            else if (defaults.Count > 0)
            {
                throw JinjaException.Syntax("non-default argument follows default argument");
            }
        }

        Expect(")");
        return (names, defaults);
    }

    Target AssignTarget(bool namespaces, params string[] ends)
    {
        List<Target> parts = [];
        bool tuple = false;
        while (true)
        {
            if (parts.Count > 0)
            {
                Expect(",");
            }

            if (Current.Kind is "variable_end" or "block_end" or ")" || ends.Any(Current.Is))
            {
                break;
            }

            parts.Add(OneTarget(namespaces));
            if (Current.Kind != ",")
            {
                break;
            }

            tuple = true;
        }

        return tuple ? new Target(null, null, parts)
            : parts.Count == 1 ? parts[0]
            : throw JinjaException.Syntax($"Expected an expression, got {Printing.Quote(Current.Described)}");
    }

    Target OneTarget(bool namespaces)
    {
        if (Skip("("))
        {
            Target inner = AssignTarget(namespaces);
            Expect(")");
            return inner;
        }

        Token token = Next();
        if (token.Kind != "name")
        {
            throw JinjaException.Syntax(token.Kind is "string" or "integer" or "float" ? "can't assign to 'const'" : token.Kind == "[" ? "can't assign to 'list'" : token.Kind == "{" ? "can't assign to 'dict'" : $"unexpected {Printing.Quote(token.Described)}");
        }

        return token.Text is "true" or "false" or "none" or "True" or "False" or "None" ? throw JinjaException.Syntax("can't assign to 'const'")
            : namespaces && Skip(".") ? new Target(token.Text, Expect("name").Text, null)
            : new Target(token.Text, null, null);
    }
}
