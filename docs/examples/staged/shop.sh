# sh shop.sh start | stop: how the owner of the shop runs it; to start what runs already does no harm.
case "$1" in
start)
    test -f shop.pid && kill -0 "$(cat shop.pid)" && exit 0
    python ../shop/shop.py 8000 16379 shop >shop.log 2>&1 &
    echo $! >shop.pid
    ;;
stop)
    kill -9 "$(cat shop.pid)"
    rm shop.pid
    ;;
esac
